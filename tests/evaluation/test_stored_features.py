"""Features of a run from disk: encoded again when anything they depend on changes."""

import os
import shutil
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from mdmf_jax.cli.main import main
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import choose_encoder
from mdmf_jax.config.fields import setting
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.runs.train import make_run

VIDEOS = 12  # test videos of the tiny data


class Counting:
    """The evaluator's extractor; says how many clips it was given."""

    def __init__(self, extract):
        self.extract, self.clips = extract, 0

    def __call__(self, params, read, count):
        self.clips += count
        return self.extract(params, read, count)


@pytest.fixture
def own(settings, videos, tmp_path):
    """Settings with a cache, and with test videos that may be changed."""
    for part in ("train", "val", "test"):
        shutil.copytree(videos / part, tmp_path / "videos" / part)
    for path in (tmp_path / "videos").rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    settings.data.root = str(tmp_path / "videos")
    settings.eval.feature_cache = str(tmp_path / "cache")
    return settings


def features(settings, change=lambda params: params):
    run = make_run(from_config_dict(settings))
    counting = run.evaluator._extract = Counting(run.evaluator._extract)
    params = run.trainer.new_state().params
    params = {"encoder": change(params["encoder"]), "head": params["head"]}
    (features,) = run.evaluator.features(params, "test").values()
    return features, counting.clips


def test_encoded_once_then_only_after_changes(own, tmp_path):
    first, clips = features(own)
    assert clips == VIDEOS
    again, clips = features(own)
    assert clips == 0
    np.testing.assert_array_equal(first, again)

    other, clips = features(own, lambda p: jax.tree.map(lambda x: x * 1.01, p))
    assert clips == VIDEOS
    assert np.abs(other - first).max() > 1e-4

    video = next((tmp_path / "videos" / "test" / "test_red_box").glob("0.mp4"))
    green = next((tmp_path / "videos" / "test" / "test_green_box").glob("0.mp4"))
    shutil.copyfile(green, video)
    changed, clips = features(own)
    assert clips == VIDEOS
    assert np.abs(changed - first).max() > 1e-4

    own.data.test_clips = 2
    views, clips = features(own)
    assert clips == 2 * VIDEOS
    assert views.shape == first.shape
    own.data.workers = 1
    assert features(own)[1] == 0


class Scaled(CLIPEncoder):
    """CLIP with an option that no parameter shows."""

    @dataclass(frozen=True)
    class Config(CLIPEncoder.Config):
        scale: float = setting(1.0, "factor of the features")

    def videos(self, videos, texts=None, **options):
        found = super().videos(videos, texts, **options)
        return {name: self.options.scale * x for name, x in found.items()}


def test_an_option_of_the_encoder_that_leaves_its_parameters_alone(own, monkeypatch):
    monkeypatch.setitem(ENCODERS, "scaled", Scaled)
    plain, clips = features(own)
    assert clips == VIDEOS
    choose_encoder(own, "scaled")
    for scale, encoded in ((1.0, VIDEOS), (3.0, VIDEOS), (1.0, 0), (3.0, 0)):
        own.encoder.scale = scale
        found, clips = features(own)
        assert clips == encoded
        np.testing.assert_allclose(found, scale * plain, rtol=1e-6)


def test_the_type_of_the_computation_has_features_of_its_own(own):
    whole, _ = features(own)
    own.encoder.dtype = "bfloat16"
    half, clips = features(own)
    assert clips == VIDEOS
    assert np.abs(whole - half).max() > 1e-4


@pytest.mark.filterwarnings("ignore:.*load_module")
def test_the_command_encodes_its_shard(own, tmp_path, capsys, repository, tiny):
    names = {**tiny, "data.root": own.data.root, "eval.feature_cache": own.eval.feature_cache}
    arguments = [f"--config.{name}={value}" for name, value in names.items()]
    command = ["features", "--config", str(repository / "configs/common.py"), *arguments]
    for shard in ("1", "0"):
        assert main([*command, "--shard", shard, "--num-shards", "2"]) == 0
    assert "other shards are missing" in capsys.readouterr().out
    assert features(own)[1] == 0
    assert main([*command, "--shard", "2", "--num-shards", "2"]) == 2
    assert "--shard is 2; it must be 0 to 1" in capsys.readouterr().err
