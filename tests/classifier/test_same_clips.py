"""A video gives the same test clips when a model is tested and when it is used."""

import shutil

import numpy as np
import pytest

from configs import common
from mdmf_jax.classifier.clips import ClipReader, timed_frames
from mdmf_jax.classifier.old_bundle import read_format_1
from mdmf_jax.classifier.settings import settings_from_dict, settings_of_run, settings_to_dict
from mdmf_jax.classifier.windows import cut_windows
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.errors import DataError

CLIPS_OF_0_1_0 = ("frames", "resize", "crop", "pipeline", "sampling")  # had no seed
LENGTHS = (3, 7, 8, 9, 30, 61)  # two are shorter than a clip of 8 frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Classes a and b in train, val and test; the videos of a split have LENGTHS frames."""
    root, rng = tmp_path_factory.mktemp("lengths"), np.random.default_rng(0)
    for number, length in enumerate(LENGTHS):
        video = encode_mp4(rng.integers(0, 256, (length, 24, 34, 3), dtype=np.uint8))
        for split in ("train", "val", "test"):
            path = root / split / f"{split}_{'ab'[number % 2]}" / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(video)
    return root


def run_settings(folder, **data):
    settings = common.get_config()
    settings.encoder.path, settings.data.root, settings.seed = "clip", str(folder), 5
    settings.data.update({"frames": 8, "resize": 20, "crop": 16, "workers": 2} | data)
    return from_config_dict(settings)


def reader_of(config):
    return ClipReader(settings_of_run(config, 1).clips)


def open_dataset(config):
    return Dataset(config.data, config.episode, seed=config.seed)


@pytest.mark.parametrize("clips", [1, 4])
@pytest.mark.parametrize("pipeline", ["mdmf", "clip_fsar"])
@pytest.mark.parametrize("sampling", ["ends", "segments", "span"])
def test_evaluation_and_classifier_see_the_same_pixels(folder, sampling, pipeline, clips):
    config = run_settings(folder, sampling=sampling, pipeline=pipeline, test_clips=clips)
    dataset, reader = open_dataset(config), reader_of(config)
    split = dataset.splits["test"]
    for video, path in enumerate(split.paths):
        used = reader.read(folder / path).clips["rgb"]
        tested = [dataset.test_clip("test", video, clip)["rgb"] for clip in range(clips)]
        np.testing.assert_array_equal(used, np.stack(tested))


def test_a_copy_and_another_split_give_the_same_pixels(folder, tmp_path):
    config = run_settings(folder, sampling="segments", test_clips=2)
    dataset, reader = open_dataset(config), reader_of(config)
    path = dataset.splits["test"].paths[-1]
    shutil.copy(folder / path, tmp_path / "other.mp4")
    used = reader.read(tmp_path / "other.mp4").clips["rgb"]
    for split in ("val", "test"):
        place = [p.split("/")[-1] for p in dataset.splits[split].paths].index(path.split("/")[-1])
        tested = [dataset.test_clip(split, place, clip)["rgb"] for clip in range(2)]
        np.testing.assert_array_equal(used, np.stack(tested))


@pytest.mark.parametrize("sampling", ["ends", "segments", "span"])
def test_a_window_that_holds_the_whole_video_is_the_video(folder, sampling):
    config = run_settings(folder, sampling=sampling, test_clips=3)
    reader = reader_of(config)
    path = folder / open_dataset(config).splits["test"].paths[-1]
    for video in (path, np.random.default_rng(1).integers(0, 256, (12, 30, 20, 3), np.uint8)):
        times = [time for time, _ in timed_frames(video, 10.0)]
        whole = times[-1] + times[1]  # short enough that no frame of it is passed over
        (window,) = cut_windows(timed_frames(video, 10.0), reader, whole, whole)
        np.testing.assert_array_equal(window.clips["rgb"], reader.read(video).clips["rgb"])


def test_the_seed_of_the_run_names_the_draw_and_is_saved(folder):
    config = run_settings(folder, sampling="segments")
    settings = settings_of_run(config, 1)
    assert settings.clips.seed == 5
    assert settings_from_dict(settings_to_dict(settings)) == settings
    clips = {name: getattr(settings.clips, name) for name in CLIPS_OF_0_1_0}
    model = {"method": "otam", "prompt": "{}", "normalise": "clip", "head": {}, "segments": {}}
    older, _ = read_format_1(model | clips | {"test_views": settings.clips.test_clips})
    older = settings_from_dict(older)
    assert (older.clips.seed, older.clips.test_clips) == (0, 1)
    path = folder / open_dataset(config).splits["test"].paths[-1]
    one, other = (ClipReader(s.clips).read(path) for s in (settings, older))
    assert (one.clips["rgb"] != other.clips["rgb"]).any()


def test_short_videos_that_a_run_left_out_still_get_an_answer_with_a_note(folder):
    """They are left out of an evaluation; a video that somebody asks about is not."""
    config = run_settings(folder, short_videos="drop")
    dataset, reader = open_dataset(config), reader_of(config)
    split = dataset.splits["test"]
    assert split.num_videos == 4
    for video, path in enumerate(split.paths):
        tested = dataset.test_clip("test", video)["rgb"]
        np.testing.assert_array_equal(reader.read(folder / path).clips["rgb"][0], tested)
    short = load_split(folder, "", "test").paths[0]
    repeated = open_dataset(run_settings(folder, short_videos="repeat"))
    assert repeated.splits["test"].paths[0] == short
    clip = reader.read(folder / short)
    np.testing.assert_array_equal(clip.clips["rgb"][0], repeated.test_clip("test", 0)["rgb"])
    assert "has 3 frames, so that of 8 some repeat" in clip.note
    with pytest.raises(DataError, match="1 frame"):
        reader.read(np.zeros((1, 20, 20, 3), np.uint8))
