"""The parts of a data set as a config describes them."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from configs import demo
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.data import dataset as parts
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.transforms.geometry import squash
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import ConfigError, DataError


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


def clone(videos, root, folders):
    """`root`/folder with the videos of a class of the tiny data set, for each folder."""
    source = videos / "train" / "train_red_box"
    root.mkdir(parents=True)
    for folder in folders:
        (root / folder).symlink_to(source, target_is_directory=True)


@pytest.fixture
def hmdb51(settings, videos, tmp_path):
    """Settings of a data set with the class folders of HMDB51."""
    clone(videos, tmp_path / "hmdb", [c.folder for c in protocols.load("hmdb51_arn").classes])
    settings.data.root = str(tmp_path / "hmdb")
    settings.data.protocol = "hmdb51_arn"
    return settings


HMDB51_TEST = (
    "fencing",
    "kick",
    "kick ball",
    "pick",
    "pour",
    "pushup",
    "run",
    "sit",
    "smoke",
    "talk",
)
# The prompts that the published reader gives them.
PUBLISHED = (
    "pick",
    "pushup",
    "run",
    "sit",
    "smoke",
    "talk",
    "fencing",
    "kick",
    "kick ball",
    "pour",
)


def test_classes_of_hmdb51_get_their_own_prompts_but_not_in_the_published_code(hmdb51):
    assert Dataset(from_config_dict(hmdb51)).prompt_names("test") == HMDB51_TEST
    hmdb51.variant = "reference"
    dataset = Dataset(from_config_dict(hmdb51))
    assert dataset.prompt_names("test") == PUBLISHED
    assert dataset.splits["test"].names == HMDB51_TEST
    assert dataset.prompt_names("train") == dataset.splits["train"].prompts


def test_unknown_protocol(settings):
    settings.data.protocol = "hmdb"
    with pytest.raises(ConfigError, match="protocol 'hmdb' is unknown; known: hmdb51_arn"):
        Dataset(from_config_dict(settings))


def test_short_videos_repeat_frames_or_are_dropped(settings, videos, tmp_path):
    """The videos of the tiny data set have 9 frames."""
    settings.data.frames = 10
    dataset = Dataset(from_config_dict(settings))
    assert dataset.splits["val"].num_videos == 12
    clip = dataset.test_clip("val", 0)
    np.testing.assert_array_equal(clip[0], clip[1])
    settings.data.short_videos = "drop"
    with pytest.raises(DataError, match="no video has 10 frames"):
        Dataset(from_config_dict(settings))
    settings.data.frames = 9
    assert Dataset(from_config_dict(settings)).splits["val"].num_videos == 12


def test_views_of_a_test_video(settings):
    settings.data.test_clips = 3
    dataset = Dataset(from_config_dict(settings))
    assert dataset.test_clips == 3
    views = [dataset.test_clip("test", 5, view) for view in range(3)]
    settings.data.test_clips = 1
    np.testing.assert_array_equal(
        views[0], Dataset(from_config_dict(settings)).test_clip("test", 5)
    )
    assert (views[0] != views[1]).any() and (views[1] != views[2]).any()


def test_pipeline_and_sampling_are_those_of_the_settings(settings, videos):
    """A clip of CLIP-FSAR made by hand."""
    settings.data.update({"pipeline": "clip_fsar", "sampling": "segments"})
    dataset = Dataset(from_config_dict(settings))
    clip = dataset.test_clip("test", 3)
    split = dataset.splits["test"]
    frames = squash(read_video(videos / split.paths[3]), 18)[:, 1:17, 1:17]
    chosen = [[i for i in range(9) if (frames[i] == frame).all()] for frame in clip]
    assert [[i // 3 for i in found] for found in chosen] == [[0], [1], [2]]


@pytest.mark.parametrize("source", ["auto", "frames"])
def test_frame_folders_give_the_same_episodes(settings, videos, tmp_path, source):
    for path in videos.rglob("*.mp4"):
        folder = tmp_path / path.relative_to(videos).with_suffix("")
        folder.mkdir(parents=True)
        for number, frame in enumerate(read_video(path)):
            Image.fromarray(frame).save(folder / f"{number}.png")
    files = Dataset(from_config_dict(settings))
    settings.data.update({"root": str(tmp_path), "source": source})
    frames = Dataset(from_config_dict(settings))
    assert frames.splits["train"].ids == files.splits["train"].ids
    (one,), (other,) = files.train_batches(0, 1), frames.train_batches(0, 1)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def test_lists_beside_prepared_data_are_refused(settings, tmp_path):
    (tmp_path / "prepared.json").write_text("{}")
    settings.data.update({"root": str(tmp_path), "splits": "lists"})
    with pytest.raises(ConfigError, match="data.splits is set, but prepared data hold their split"):
        Dataset(from_config_dict(settings))
