"""The modality "dense": which frames, and what becomes of them."""

import numpy as np
import pytest

from mdmf_jax.classifier.clips import ClipReader
from mdmf_jax.classifier.settings import untrained_clips
from mdmf_jax.data.videos import dense
from mdmf_jax.data.videos.modalities import MODALITIES


def test_frames_lie_between_the_positions():
    found = dense.dense_numbers(np.array([1, 9, 17, 21]), 30)
    assert found.tolist() == [[1, 3, 5, 7], [9, 11, 13, 15], [17, 18, 19, 20], [21, 22, 24, 26]]


@pytest.mark.parametrize("count", [1, 2, 5, 8, 33, 400])
def test_numbers_are_of_frames_and_ascend(count):
    numbers = np.linspace(0, count - 1, 8).astype(int)
    found = dense.dense_numbers(numbers, count).ravel()
    assert found.min() >= 0 and found.max() < count and (np.diff(found) >= 0).all()


@pytest.fixture(scope="module")
def video():
    rows, columns = np.mgrid[0:36, 0:64]
    frames = [(2 * rows + columns + 3 * t) % 256 for t in range(40)]
    return np.repeat(np.array(frames, np.uint8)[..., None], 3, -1)


def read(video):
    return ClipReader(untrained_clips(96, whole=True), modalities=("rgb", "dense")).read(video)


def test_pictures_show_the_whole_frame_in_grey(video):
    clip = read(video).clips["dense"]
    assert clip.shape == (1, 8, 96, 96, 4) and clip.dtype == np.uint8
    first = int(clip[0, 0, 48, 48, 0])
    assert abs(first - int(video[1, 18, 32, 0])) <= 3
    assert abs(int(clip[0, 0, 0, 95, 0]) - int(video[1, 0, 63, 0])) <= 3


def test_large_videos_are_read_in_parts(video, monkeypatch):
    whole = read(video).clips["dense"]
    monkeypatch.setattr(dense, "_MOST_BYTES", 36 * 64 * 3 * 5)
    np.testing.assert_array_equal(read(video).clips["dense"], whole)


def test_a_mirror_turns_the_pictures(video):
    clip = read(video).clips["dense"][0]
    np.testing.assert_array_equal(MODALITIES["dense"].mirror(clip), clip[:, :, ::-1])
