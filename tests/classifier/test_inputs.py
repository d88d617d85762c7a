"""Clips from files, folders of images and arrays; folders of classes."""

import numpy as np
import pytest
from PIL import Image

from mdmf_jax.classifier.clips import BadVideo, ClipReader
from mdmf_jax.classifier.folders import all_videos, by_class, expand, labelled_videos
from mdmf_jax.classifier.settings import ClipSettings
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import DataError

SETTINGS = ClipSettings(3, 18, 16, "mdmf", "ends", 1)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 255, (9, 20, 24, 3), np.uint8)


def test_all_kinds_of_input_give_the_same_clip(frames, tmp_path):
    (tmp_path / "v.mp4").write_bytes(encode_mp4(frames))
    decoded = read_video(tmp_path / "v.mp4")
    (tmp_path / "images").mkdir()
    for number, frame in enumerate(decoded):
        Image.fromarray(frame).save(tmp_path / "images" / f"{number}.png")
    reader = ClipReader(SETTINGS)
    clips = [reader.read(v) for v in (tmp_path / "v.mp4", tmp_path / "images", decoded)]
    assert all((clip.clips["rgb"] == clips[0].clips["rgb"]).all() for clip in clips)
    # Frames 1, 4 and 7 of 9, short side 18, the square of 16 in the middle.
    expected = [np.asarray(Image.fromarray(decoded[i]).resize((21, 18), 2)) for i in (1, 4, 7)]
    assert (clips[0].clips["rgb"][0] == np.stack(expected)[:, 1:17, 2:18]).all()
    assert not clips[0].note


def test_further_test_clips_are_other_frames(frames):
    reader = ClipReader(ClipSettings(3, 18, 16, "mdmf", "ends", 2))
    clips = reader.read(frames).clips["rgb"]
    assert clips.shape == (2, 3, 16, 16, 3)
    single = ClipReader(SETTINGS).read(frames).clips["rgb"][0]
    assert (clips[0] == single).all() and not (clips[1] == single).all()


def test_short_videos_repeat_frames(frames):
    clip = ClipReader(SETTINGS).read(frames[:2], "short")
    assert (clip.clips["rgb"][0, 0] == clip.clips["rgb"][0, 1]).all()
    assert clip.note == "short: has 2 frames, so that of 3 some repeat"
    with pytest.raises(DataError, match="tiny: has 1 frame, an action needs at least 2"):
        ClipReader(SETTINGS).read(frames[:1], "tiny")


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3), (2, 4, 4, 1)])
def test_wrong_arrays(shape):
    with pytest.raises(DataError, match=r"frames must be uint8 \[N, H, W, 3\]"):
        ClipReader(SETTINGS).read(np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="is an array float64"):
        ClipReader(SETTINGS).read(np.zeros((2, 4, 4, 3)))


def test_reading_goes_on_after_a_bad_video(frames, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    mixed = [frames, tmp_path / "text.mp4", frames[:1], frames]
    found = list(ClipReader(SETTINGS).read_all(mixed, ["a", "b", "c", "d"]))
    assert [isinstance(x, BadVideo) for x in found] == [False, True, True, False]
    assert found[1].source == "b" and "it is a text file" in found[1].reason
    assert "\n" not in found[1].reason + found[2].reason


def test_folders_of_classes(tmp_path):
    for name in ("run/a.mp4", "run/b.AVI", "jump/c/1.jpg", "jump/notes.txt", "jump/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "run" / "empty").mkdir()
    found, bad = labelled_videos(tmp_path)
    names = {k: [p.name for p in v] for k, v in found.items()}
    assert names == {"jump": ["c"], "run": ["a.mp4", "b.AVI"]}
    assert sorted(x.source.split("/")[-1] for x in bad) == ["empty", "notes.txt"]
    with pytest.raises(DataError, match="notes.txt: is not a video by its name"):
        by_class(tmp_path, None)
    assert [p.name for p in all_videos(tmp_path)] == ["c", "a.mp4", "b.AVI"]
    videos, others = expand([str(tmp_path / "run"), str(tmp_path / "jump" / "c")])
    assert [p.name for p in videos] == ["a.mp4", "b.AVI", "c"] and len(others) == 1


def test_missing_and_wrong_folders(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        labelled_videos(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no class folders"):
        labelled_videos(tmp_path)
    with pytest.raises(DataError, match="holds no videos"):
        all_videos(tmp_path)
    with pytest.raises(DataError, match="2 videos and 1 labels"):
        by_class(["a", "b"], ["x"])
    with pytest.raises(DataError, match="labels are missing"):
        by_class(["a", "b"], None)
