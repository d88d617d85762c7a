"""Features of an experiment from disk: encoded again when anything they depend on changes."""

import os
import shutil

import jax
import numpy as np
import pytest
from mdmf_jax.runs.experiment import Experiment

from mdmf_jax.cli.main import main
from mdmf_jax.config.config import from_config_dict

PARTS = 12  # test videos of the tiny data


class Counting:
    """The experiment's extractor; says how many clips it was given."""

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
    experiment = Experiment(from_config_dict(settings))
    counting = experiment._extract = Counting(experiment._extract)
    params = change(experiment.new_state().params["encoder"])
    return experiment.features(params, "test"), counting.clips


def test_encoded_once_then_only_after_changes(own, tmp_path):
    first, clips = features(own)
    assert clips == PARTS
    again, clips = features(own)
    assert clips == 0
    np.testing.assert_array_equal(first, again)

    other, clips = features(own, lambda p: jax.tree.map(lambda x: x * 1.01, p))
    assert clips == PARTS
    assert np.abs(other - first).max() > 1e-4

    video = next((tmp_path / "videos" / "test" / "test_red_box").glob("0.mp4"))
    green = next((tmp_path / "videos" / "test" / "test_green_box").glob("0.mp4"))
    shutil.copyfile(green, video)
    changed, clips = features(own)
    assert clips == PARTS
    assert np.abs(changed - first).max() > 1e-4

    own.data.test_clips = 2
    views, clips = features(own)
    assert clips == 2 * PARTS
    assert views.shape == first.shape
    own.data.workers = 1
    assert features(own)[1] == 0


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
