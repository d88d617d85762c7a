"""The splits of a data set as a config describes them."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from configs import demo
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.data import dataset as splits
from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.episodes.batches import flatten
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.transforms.geometry import squash
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import ConfigError, DataError


def open_dataset(settings):
    config = from_config_dict(settings)
    size = config.train.episodes_per_step
    return splits.Dataset(config.data, config.episode, seed=config.seed, episodes_per_step=size)


def test_splits_and_names(settings):
    dataset = open_dataset(settings)
    assert {name: split.num_videos for name, split in dataset.splits.items()} == {
        "train": 12,
        "val": 12,
        "test": 12,
    }
    assert dataset.class_names_for_texts("test") == (
        "test blue box",
        "test green box",
        "test red box",
    )


def test_step_i_gets_its_episodes_wherever_the_run_began(settings):
    dataset = open_dataset(settings)
    whole, later = list(dataset.train_batches(0, 3)), list(dataset.train_batches(2, 3))
    assert [batch["index"].tolist() for batch in whole] == [
        list(range(0, 8)),
        list(range(8, 16)),
        list(range(16, 24)),
    ]
    assert len(later) == 1
    for name, value in flatten(whole[2]).items():
        np.testing.assert_array_equal(flatten(later[0])[name], value)


def test_training_frames_are_random_and_test_frames_fixed(settings):
    dataset = open_dataset(settings)
    clip = dataset.test_clip("test", 4)["rgb"]
    assert clip.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(clip, dataset.test_clip("test", 4)["rgb"])
    settings.seed = 1
    (one,) = dataset.train_batches(0, 1)
    (other,) = open_dataset(settings).train_batches(0, 1)
    assert one["support"]["rgb"].shape == (8, 2, 1, 3, 16, 16, 3)
    assert (one["support"]["rgb"] != other["support"]["rgb"]).any()


def test_demo_videos_are_generated(monkeypatch, tmp_path):
    monkeypatch.setattr(splits, "ensure_demo", partial(ensure_demo, clips=1, workers=2))
    settings = demo.get_config()
    settings.data.root = str(tmp_path)
    dataset = open_dataset(settings)
    assert {name: split.num_videos for name, split in dataset.splits.items()} == {
        "train": 40,
        "val": 8,
        "test": 16,
    }
    assert dataset.test_clip("val", 7)["rgb"].shape == (8, 32, 32, 3)


def test_missing_folders(settings):
    settings.data.root = ""
    with pytest.raises(ConfigError, match="data.root is empty"):
        open_dataset(settings)
    settings.data.root = "absent"
    with pytest.raises(DataError, match="absent"):
        open_dataset(settings)


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
    assert open_dataset(hmdb51).class_names_for_texts("test") == HMDB51_TEST
    hmdb51.variant = "reference"
    dataset = open_dataset(hmdb51)
    assert dataset.class_names_for_texts("test") == PUBLISHED
    assert dataset.splits["test"].names == HMDB51_TEST
    assert dataset.class_names_for_texts("train") == dataset.splits["train"].prompts


def test_unknown_protocol(settings):
    settings.data.protocol = "hmdb"
    with pytest.raises(ConfigError, match="protocol 'hmdb' is unknown; known: hmdb51_arn"):
        open_dataset(settings)


def test_short_videos_repeat_frames_or_are_dropped(settings, videos, tmp_path):
    """The videos of the tiny data set have 9 frames."""
    settings.data.frames = 10
    dataset = open_dataset(settings)
    assert dataset.splits["val"].num_videos == 12
    clip = dataset.test_clip("val", 0)["rgb"]
    np.testing.assert_array_equal(clip[0], clip[1])
    settings.data.short_videos = "drop"
    with pytest.raises(DataError, match="no video has 10 frames"):
        open_dataset(settings)
    settings.data.frames = 9
    assert open_dataset(settings).splits["val"].num_videos == 12


def test_clips_of_a_test_video(settings):
    settings.data.test_clips = 3
    dataset = open_dataset(settings)
    assert dataset.test_clips == 3
    clips = [dataset.test_clip("test", 5, clip)["rgb"] for clip in range(3)]
    settings.data.test_clips = 1
    np.testing.assert_array_equal(clips[0], open_dataset(settings).test_clip("test", 5)["rgb"])
    assert (clips[0] != clips[1]).any() and (clips[1] != clips[2]).any()


def test_pipeline_and_sampling_are_those_of_the_settings(settings, videos):
    """A clip of CLIP-FSAR made by hand."""
    settings.data.update({"pipeline": "clip_fsar", "sampling": "segments"})
    dataset = open_dataset(settings)
    clip = dataset.test_clip("test", 3)["rgb"]
    split = dataset.splits["test"]
    frames = squash(read_video(videos / split.paths[3]), 18, 18)[:, 1:17, 1:17]
    chosen = [[i for i in range(9) if (frames[i] == frame).all()] for frame in clip]
    assert [[i // 3 for i in found] for found in chosen] == [[0], [1], [2]]


@pytest.mark.parametrize("source", ["auto", "frames"])
def test_frame_folders_give_the_same_episodes(settings, videos, tmp_path, source):
    for path in videos.rglob("*.mp4"):
        folder = tmp_path / path.relative_to(videos).with_suffix("")
        folder.mkdir(parents=True)
        for number, frame in enumerate(read_video(path)):
            Image.fromarray(frame).save(folder / f"{number}.png")
    files = open_dataset(settings)
    settings.data.update({"root": str(tmp_path), "source": source})
    frames = open_dataset(settings)
    assert frames.splits["train"].ids == files.splits["train"].ids
    (one,), (other,) = files.train_batches(0, 1), frames.train_batches(0, 1)
    for name, value in flatten(one).items():
        np.testing.assert_array_equal(value, flatten(other)[name])


def test_lists_beside_prepared_data_are_refused(settings, tmp_path):
    (tmp_path / "prepared.json").write_text("{}")
    settings.data.update({"root": str(tmp_path), "splits": "lists"})
    with pytest.raises(ConfigError, match="data.splits is set, but prepared data hold their split"):
        open_dataset(settings)
