"""The motion encoder: its packaged files, and what its features must not depend on."""

import hashlib
import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from mdmf_jax.classifier.model import pretrained
from mdmf_jax.config.defaults import choose_encoder, get_config
from mdmf_jax.config.load import load_config
from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.model import FewShotModel
from mdmf_jax.training.build import model_settings
from mdmf_jax.weights.motion import load_motion, motion_path

LIMIT = 4 * 2**20  # bytes of everything that is packaged


@pytest.fixture(scope="module")
def encode():
    """Unit mean features [N, D] of grey videos [N, 32, 96, 96], by part: learned and maps."""
    model = pretrained("motion", "mean_pool")
    run = jax.jit(lambda params, clips: model.few_shot.encode(params, clips)["frames"])

    def features(videos):
        dense = videos.reshape(len(videos), 8, 4, 96, 96).transpose(0, 1, 3, 4, 2)
        clips = {"rgb": np.zeros((len(videos), 8, 96, 96, 3), np.uint8)}
        found = np.asarray(run(model.params, clips | {"dense": dense.astype(np.uint8)}))
        means = found.mean(1)
        width = model.few_shot.encoder.sizes.sizes.features
        return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in np.split(means, [width], 1)]

    return features


@pytest.fixture(scope="module")
def video():
    """A bright disc on a circle before a still texture, [32, 96, 96]."""
    return film(np.random.default_rng(0))


def film(rng, row=48, column=48, turn=1):
    room = 60 + np.kron(rng.uniform(0, 60, (12, 12)), np.ones((8, 8)))
    rows, columns = np.mgrid[0:96, 0:96]
    angle = turn * np.linspace(0, 6 * np.pi, 32)
    y, x = row + 14 * np.sin(angle), column + 14 * np.cos(angle)
    near = np.hypot(rows - y[:, None, None], columns - x[:, None, None]) < 8
    return np.where(near, 200, room)


def cosines(encode, *videos):
    return [float(part[0] @ part[1]) for part in encode(np.stack(videos))]


def test_light_does_not_matter(encode, video):
    assert min(cosines(encode, video, video + 25)) > 0.97


def test_a_still_background_does_not_matter(encode, video):
    assert min(cosines(encode, video, film(np.random.default_rng(7)))) > 0.9


def test_what_moves_matters(encode, video):
    """Another place and direction change more than another room does."""
    rng = np.random.default_rng(7)
    same = cosines(encode, video, film(rng))
    other = cosines(encode, video, film(rng, row=25, column=70, turn=-0.3))
    assert all(a > b + 0.02 for a, b in zip(same, other, strict=True))


def test_the_packaged_files():
    folder = motion_path()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LIMIT
    content = json.loads((folder / "config.json").read_text())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert content["sha256"] == digest
    assert "train_motion.py" in content["training"]["command"]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(load_motion(folder).params))


def test_damaged_files(tmp_path):
    folder = shutil.copytree(motion_path(), tmp_path / "motion")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="is not the file that config.json describes"):
        load_motion(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="no such file"):
        load_motion(folder)


def test_methods_with_texts_are_refused():
    with pytest.raises(ConfigError, match="zero_shot needs class texts, but the encoder motion"):
        pretrained("motion", "zero_shot")


def test_mdmf_goes_without_texts_where_it_has_no_prompts():
    config = load_config("people:method=mdmf")
    with pytest.raises(ConfigError, match="mdmf needs class texts"):
        FewShotModel(model_settings(config, 6))
    config = replace(config, head=replace(config.head, pps=False))
    assert FewShotModel(model_settings(config, 6)).feature_shapes["frames"].shape == (8, 248)


def test_an_encoder_brings_its_own_defaults_but_keeps_what_was_set():
    config = get_config("encoder=motion")
    assert config.encoder.path == "packaged:motion"
    config = get_config()
    config.encoder.path = "mine"
    choose_encoder(config, "motion")
    assert config.encoder.path == "mine" and config.encoder.maps == 0.3
