"""The parts of a data set as a config describes them."""

from functools import partial

import numpy as np
import pytest

from configs import demo
from mdmf_jax import parts
from mdmf_jax.config import from_config_dict
from mdmf_jax.data.demo import ensure_demo
from mdmf_jax.errors import ConfigError, DataError
from mdmf_jax.parts import Dataset


def test_splits_and_names(settings):
    dataset = Dataset(from_config_dict(settings))
    assert {part: split.num_videos for part, split in dataset.splits.items()} == {
        "train": 12,
        "val": 12,
        "test": 12,
    }
    assert dataset.prompt_names("test") == ("test blue box", "test green box", "test red box")


def test_step_i_gets_its_episodes_wherever_the_run_began(settings):
    dataset = Dataset(from_config_dict(settings))
    whole, later = list(dataset.train_batches(0, 3)), list(dataset.train_batches(2, 3))
    assert [batch["index"].tolist() for batch in whole] == [
        list(range(0, 8)),
        list(range(8, 16)),
        list(range(16, 24)),
    ]
    assert len(later) == 1
    for name, value in whole[2].items():
        np.testing.assert_array_equal(later[0][name], value)


def test_training_frames_are_random_and_test_frames_fixed(settings):
    dataset = Dataset(from_config_dict(settings))
    clip = dataset.test_clip("test", 4)
    assert clip.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(clip, dataset.test_clip("test", 4))
    settings.seed = 1
    (one,) = dataset.train_batches(0, 1)
    (other,) = Dataset(from_config_dict(settings)).train_batches(0, 1)
    assert one["support"].shape == (8, 2, 1, 3, 16, 16, 3)
    assert (one["support"] != other["support"]).any()


def test_demo_videos_are_generated(monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "ensure_demo", partial(ensure_demo, clips=1, workers=2))
    settings = demo.get_config()
    settings.data.root = str(tmp_path)
    dataset = Dataset(from_config_dict(settings))
    assert {part: split.num_videos for part, split in dataset.splits.items()} == {
        "train": 40,
        "val": 8,
        "test": 16,
    }
    assert dataset.test_clip("val", 7).shape == (8, 32, 32, 3)


def test_missing_folders(settings):
    settings.data.root = ""
    with pytest.raises(ConfigError, match="data.root is empty"):
        Dataset(from_config_dict(settings))
    settings.data.root = "absent"
    with pytest.raises(DataError, match="absent"):
        Dataset(from_config_dict(settings))
