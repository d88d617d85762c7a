"""Exported folders: the same predictions as the original, without this package and flax."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import jax
import numpy as np
import pytest

from mdmf_jax.classifier.calibration import Calibration
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.classifier.clips import ClipReader
from mdmf_jax.classifier.model import Model
from mdmf_jax.classifier.settings import Settings, untrained_clips
from mdmf_jax.cli import main as cli
from mdmf_jax.errors import UserError
from mdmf_jax.export.load_exported import ExportError, load_exported
from mdmf_jax.export.writer import export_model
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.registry import config_class
from mdmf_jax.models.model_settings import ModelSettings

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


FRAMES = 4


def model_of(clip_folder, method: str, encoder=(), **head) -> Model:
    """A method with parameters of random numbers."""
    options = CLIPOptions(path=str(clip_folder), **dict(encoder))
    settings = ModelSettings(method, config_class(method)(**head), "clip", options, FRAMES)
    few_shot = FewShotModel(settings)
    rng = np.random.default_rng(0)
    shapes = few_shot.shapes["head"]
    drawn = jax.tree.map(lambda x: rng.normal(0.3, 0.3, x.shape).astype(np.float32), shapes)
    clips = untrained_clips(few_shot.encoder.image_size, FRAMES)
    params = {"encoder": few_shot.start, "head": drawn}
    return Model(Settings(settings, clips), few_shot, params)


@pytest.fixture(scope="module")
def clips(clip_folder, by_class):
    """All test videos, and the same as the exported model takes them [N, T, S, S, 3]."""
    reader = ClipReader(model_of(clip_folder, "mean_pool").settings.clips)
    videos = [path for paths in by_class.values() for path in paths]
    return videos, np.stack([reader.read(video).clips["rgb"][0] for video in videos])


@pytest.fixture(scope="module")
def fitted(clip_folder, support_folder, clips, tmp_path_factory):
    """CLIP-MDMF fitted on 2, 1 and 3 videos, its folder, and the folder it was exported to.

    The threshold is such that some of the videos are unknown.
    """
    root = tmp_path_factory.mktemp("exported")
    model = model_of(clip_folder, "mdmf", heads=2, hidden=16, bidirectional=False)
    classifier = FewShotClassifier(model).fit(support_folder)
    logits, *_ = classifier._logits(clips[0], "raise")
    threshold = float(np.median(np.sort(logits.max(-1))[5:7]))  # no video has this score
    given = {"target": 0.95, "origin": "validation", "known": 12, "foreign": 0, "auroc": None}
    classifier._calibration = Calibration(0.7, threshold, "best_logit", **given)
    classifier.save(root / "model")
    code = cli.main(["export", "--format=jax", str(root / "model"), str(root / "exported")])
    assert code == 0
    return classifier, root


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
    assert 0 < np.sum(out["labels"] == "unknown") < len(videos)
    logits, *_ = classifier._logits(videos, "raise")
    np.testing.assert_allclose(out["logits"], logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "some"),
    [
        ({"evidence": False}, False),
        ({"evidence": True, "temperature": 1e-3}, True),
        ({"evidence": True, "temperature": None}, False),
    ],
)
def test_it_decides_as_the_classifier_does(fitted, clips, change, some):
    """Whether labels are given at all, and what is no more probable than by chance."""
    classifier, root = fitted
    exported = load_exported(root / "exported")
    before = classifier.calibration_
    classifier._calibration = replace(before, **change)
    exported._calibration = asdict(classifier.calibration_)
    expected = classifier.predict(clips[0]).tolist()
    proba = classifier.predict_proba(clips[0])
    classifier._calibration = before
    assert exported.predict(clips[1]) == expected
    np.testing.assert_allclose(exported.predict_proba(clips[1]), proba, atol=1e-3)
    assert (set(expected) != {"unknown"}) == some


def test_manifest_names_platforms_and_sizes(fitted):
    manifest = json.loads((fitted[1] / "exported/manifest.json").read_text())
    assert manifest["platforms"] == ["cpu", "cuda", "tpu"]
    assert manifest["classes"] == fitted[0].classes_
    assert (manifest["frames"], manifest["size"]) == (4, 16)
    program = jax.export.deserialize(
        bytearray((fitted[1] / "exported/encode.jaxexport").read_bytes())
    )
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert str(program.in_avals[-1].shape) == "(n, 4, 16, 16, 3)"


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
    with pytest.raises(ExportError, match=words.get(damage, "not a complete exported model")):
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


SMALL = {"heads": 2, "hidden": 16}


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("mean_pool", {}),
        *(
            pytest.param(method, head, marks=pytest.mark.slow)
            for method, head in [
                ("otam", {}),
                ("zero_shot", {}),
                ("clip_fsar", SMALL),
                ("clip_fsar", SMALL | {"at_test": "combined"}),
                ("mdmf", SMALL | {"matcher": "tuples"}),
                ("mdmf", SMALL | {"views": "local", "pps": False}),
                ("trx", {"width": 8}),
                ("cross_transformer", {"width": 8}),
                ("segment_transformer", {}),
            ]
        ),
    ],
)
def test_classes_learnt_after_the_export(clip_folder, by_class, clips, tmp_path, method, head):
    original = FewShotClassifier(model_of(clip_folder, method, **head))
    export_model(tmp_path / "e", original._model)
    model, videos = load_exported(tmp_path / "e"), clips[0][:10]  # more than one batch
    with pytest.raises(ExportError, match="call learn"):
        model.logits(clips[1])
    support = {name: paths[: 1 + i] for i, (name, paths) in enumerate(by_class.items())}
    original.fit(support)
    prompts = [c.prompt for c in original._support.classes.values()]
    texts = model.encode_texts(original._model.few_shot.pretrained.tokenizer(prompts, 77))
    frames = {
        name: clips[1][[clips[0].index(path) for path in paths]] for name, paths in support.items()
    }
    model.learn(frames, texts)
    logits, *_ = original._logits(videos, "raise")
    np.testing.assert_allclose(model.logits(clips[1][:10]), logits, atol=1e-5, rtol=1e-5)
    assert model.predict(clips[1][:10]) == [original.classes_[i] for i in logits.argmax(-1)]


def test_test_clips_are_averaged(fitted, clips):
    model, frames = load_exported(fitted[1] / "exported"), clips[1][:4]
    several = np.stack([frames[:2], frames[2:]], axis=1)  # [2, 2, T, S, S, 3]
    single, mean = model.encode(frames), model.encode(several)
    assert single.keys() == mean.keys() == {"frames"}
    expected = (single["frames"][:2] + single["frames"][2:]) / 2
    np.testing.assert_allclose(mean["frames"], expected, atol=1e-6)


def test_the_folder_must_be_new(fitted, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        export_model(tmp_path / "full", fitted[0]._model)
    argv = ["export", "--format=jax", str(fitted[1] / "model"), str(tmp_path / "x.safetensors")]
    assert cli.main(argv) == 2
    assert "writes a folder" in capsys.readouterr().err
    assert cli.main(["export", "--format=jax", str(tmp_path), str(tmp_path / "y")]) == 2
