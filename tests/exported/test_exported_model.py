"""Exported folders: the same predictions as the original, without this package and flax."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from mdmf_jax import cli
from mdmf_jax.classifier import FewShotClassifier
from mdmf_jax.errors import UserError
from mdmf_jax.exported.load_exported import ExportError, load_exported
from mdmf_jax.exported.writer import export_model, export_path
from mdmf_jax.models.mdmf import MDMFConfig
from mdmf_jax.recognition.clips import ClipReader
from mdmf_jax.recognition.model import Model, head_shapes
from mdmf_jax.recognition.settings import settings_of_clip
from mdmf_jax.weights.huggingface import load_clip

# Run with the exported folder as the only place of our code. Argument: the folder's parent.
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ImportError(f"{name} is refused")

REFUSED = {"flax", "optax", "orbax", "transformers", "tensorflow", "av", "safetensors",
           "tokenizers", "PIL", "rich", "absl", "ml_collections", "mdmf_jax"}
sys.meta_path.insert(0, Refuse())
folder = sys.argv[1]
sys.path[:] = [folder + "/exported"] + [p for p in sys.path if "site-packages" in p or "lib" in p]
import numpy as np
from load_exported import load_exported
model = load_exported(folder + "/exported")
clips = np.load(folder + "/clips.npy")
np.savez(folder + "/out.npz", proba=model.predict_proba(clips), labels=model.predict(clips),
         logits=model.logits(clips))
assert not REFUSED & {name.partition(".")[0] for name in sys.modules}
"""


@pytest.fixture(scope="module")
def mdmf(clip_folder) -> Model:
    """CLIP-MDMF with a head of random numbers."""
    clip = load_clip(clip_folder)
    settings = replace(
        settings_of_clip(clip.config, "mdmf"), frames=3, head=MDMFConfig(heads=2, hidden=16)
    )
    rng = np.random.default_rng(0)
    shapes = head_shapes(settings, clip)
    head = jax.tree.map(lambda x: rng.normal(0.3, 0.3, x.shape).astype(np.float32), shapes)
    return Model(settings, clip, head)


@pytest.fixture(scope="module")
def fitted(mdmf, support_folder, tmp_path_factory):
    """CLIP-MDMF fitted on 2, 1 and 3 videos, its folder, and the folder it was exported to."""
    root = tmp_path_factory.mktemp("exported")
    classifier = FewShotClassifier(mdmf).fit(support_folder)
    classifier.save(root / "model")
    code = cli.main(["export", "--format=jax", str(root / "model"), str(root / "exported")])
    assert code == 0
    return classifier, root


@pytest.fixture(scope="module")
def clips(fitted, by_class):
    """All test videos, and the same as the exported model takes them [N, T, S, S, 3]."""
    videos = [path for paths in by_class.values() for path in paths]
    reader = ClipReader(fitted[0]._model.settings)
    return videos, np.stack([reader.read(video).views[0] for video in videos])


def test_same_predictions_in_a_process_without_flax(fitted, clips):
    classifier, root = fitted
    videos, frames = clips
    np.save(root / "clips.npy", frames)
    command = [sys.executable, "-I", "-c", ALONE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    out = np.load(root / "out.npz", allow_pickle=False)
    expected = classifier.predict_proba(videos)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(out["proba"], expected, atol=1e-5)
    assert out["labels"].tolist() == classifier.predict(videos).tolist()
    logits, *_ = classifier._logits(videos, "raise")
    np.testing.assert_allclose(out["logits"], logits, atol=1e-5, rtol=1e-5)


def test_manifest_names_platforms_and_sizes(fitted):
    manifest = json.loads((fitted[1] / "exported/manifest.json").read_text())
    assert manifest["platforms"] == ["cpu", "cuda", "tpu"]
    assert manifest["classes"] == fitted[0].classes_
    assert (manifest["frames"], manifest["size"]) == (3, 16)
    program = jax.export.deserialize(
        bytearray((fitted[1] / "exported/encode.jaxexport").read_bytes())
    )
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert str(program.in_avals[-1].shape) == "(n, 16, 16, 3)"


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest", "other format"])
def test_damaged_folder_is_refused(fitted, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(fitted[1] / "exported", folder)
    file, manifest = folder / "match.jaxexport", folder / "manifest.json"
    if damage == "changed":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "missing":
        file.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 0}))
    words = {"changed": "has changed", "other format": "format 0"}
    with pytest.raises(ExportError, match=words.get(damage, "no complete exported model")):
        load_exported(folder)


def test_wrong_clips_are_refused(fitted, clips):
    model = load_exported(fitted[1] / "exported")
    for wrong in (clips[1].astype(np.float32), clips[1][:, :2], clips[1][0]):
        with pytest.raises(ExportError, match="clips are"):
            model.predict(wrong)
    with pytest.raises(ExportError, match="no clips"):
        model.predict(clips[1][:0])
    with pytest.raises(ExportError, match="no text tower"):
        model.encode_texts(np.zeros((1, 77), np.int32))


@pytest.mark.parametrize("method", ["otam", "zero_shot"])
def test_classes_learnt_after_the_export(clip_folder, by_class, tmp_path, method):
    export_path(clip_folder, tmp_path / "e", method)
    model = load_exported(tmp_path / "e")
    original = FewShotClassifier.from_pretrained(clip_folder, method)
    support = {name: paths[: 1 + i] for i, (name, paths) in enumerate(by_class.items())}
    original.fit(support)
    settings, reader = original._model.settings, ClipReader(original._model.settings)
    frames = {
        name: np.stack([reader.read(path).views[0] for path in paths])
        for name, paths in by_class.items()
    }
    prompts = [settings.prompt.format(name.replace("_", " ")) for name in by_class]
    texts = model.encode_texts(original._model.clip.tokenizer(prompts, 77))
    with pytest.raises(ExportError, match="call learn"):
        model.logits(frames["test_red_box"])
    model.learn({name: frames[name][: len(some)] for name, some in support.items()}, texts)
    some = np.concatenate([each[:3] for each in frames.values()])  # more than one batch
    videos = [path for paths in by_class.values() for path in paths[:3]]
    logits, *_ = original._logits(videos, "raise")
    np.testing.assert_allclose(model.logits(some), logits, atol=1e-5, rtol=1e-5)
    assert model.predict(some) == [original.classes_[i] for i in logits.argmax(-1)]


def test_views_are_averaged(fitted, clips):
    model, frames = load_exported(fitted[1] / "exported"), clips[1][:4]
    views = np.stack([frames[:2], frames[2:]], axis=1)  # [2, 2, T, S, S, 3]
    single = model.encode(frames)
    np.testing.assert_allclose(model.encode(views), (single[:2] + single[2:]) / 2, atol=1e-6)


def test_the_folder_must_be_new(fitted, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        export_model(tmp_path / "full", fitted[0]._model)
    argv = ["export", "--format=jax", str(fitted[1] / "model"), str(tmp_path / "x.safetensors")]
    assert cli.main(argv) == 2
    assert "writes a folder" in capsys.readouterr().err
    assert cli.main(["export", "--format=jax", str(tmp_path), str(tmp_path / "y")]) == 2
