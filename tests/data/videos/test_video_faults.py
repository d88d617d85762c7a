"""Odd videos that must work, and the words for those that do not."""

import os

import made_videos as made
import numpy as np
import pytest

from mdmf_jax.data.videos.video import count_frames, open_video, read_video
from mdmf_jax.data.videos.video_faults import explain
from mdmf_jax.errors import DataError


def test_odd_videos(tmp_path):
    for name, (path, count, size) in made.good_videos(tmp_path).items():
        video = read_video(path)
        assert video.shape == (count, *size, 3), name
        if name == "grey":
            assert np.ptp(video, axis=-1).max() == 0
        elif name == "odd size":  # stored without loss but for the change of colour space
            assert abs(video.astype(int) - made.pictures(5, 37, 51)).max() <= 4
        elif name == "turned":
            expected = np.rot90(made.pictures(5), -1, axes=(1, 2))
            assert abs(video.astype(int) - expected).mean() < 12
        elif name != "grey":
            assert abs(video.astype(int) - made.pictures(count)).mean() < 12, name


def test_seconds(tmp_path):
    paths = {
        6 / 25: made.write(tmp_path / "a.mp4", made.pictures(6)),
        1 / 25: made.write(tmp_path / "b.mp4", made.pictures(1)),
        0.88: made.write(tmp_path / "c.mkv", made.pictures(3), times=[0, 40, 587], bf="0"),
    }
    for seconds, path in paths.items():
        with open_video(path) as video:
            list(video.frames())
            assert video.seconds == pytest.approx(seconds, abs=2e-3)
            assert video.missing() == ""


def test_cut_matroska_file_is_noticed(tmp_path):
    path = made.halve(made.write(tmp_path / "v.mkv", made.pictures(50)))
    with open_video(path) as video:
        assert 5 < len(list(video.frames())) < 40
        assert video.missing().endswith("of the 2.0 s that its header promises")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "0 bytes"),
        (b"\xef\xbb\xbf#EXTM3U\n", "playlist"),
        (b'<?xml version="1.0"?><MPD>', "playlist"),
        (b"just words\r\n", "text file"),
        (bytes(99), "only zeros"),
        (b"RIFF\xff\x00\x00\x00AVI ", "should have 263 bytes"),
        (b"\x00\x00\x00\x08ftyp", "its index (moov) is missing"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x01\x00mdat", "should end at byte 264"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x00\x00mdat", "its index (moov) is missing"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov", ""),
        (b"\x01\x02\x03\xff", ""),
    ],
)
def test_reasons(tmp_path, content, words):
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    reason = explain(str(path))
    assert words in reason and bool(words) == bool(reason)
    with pytest.raises(DataError, match="v.mp4: cannot be decoded as a video"):
        count_frames(path)


def test_playlist_does_not_open_what_it_names(tmp_path, monkeypatch):
    """Even one that is a good video, with a name that the decoder would find."""
    made.write(tmp_path / "good.mp4", made.pictures(3))
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "a.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\ngood.mp4\n#EXT-X-ENDLIST\n",
        "b.mp4": "ffconcat version 1.0\nfile good.mp4\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="it is a playlist"):
            read_video(name)


@pytest.mark.parametrize("codec", [b"avc1", b"zzzz"])
def test_unknown_codec(tmp_path, codec):
    path = made.write(tmp_path / "v.mp4", made.pictures(3))
    content = path.read_bytes()
    place = content.index(b"stsd")
    start = content.index(b"avc1", place)
    path.write_bytes(content[:start] + codec + content[start + 4 :])
    if codec == b"avc1":
        assert count_frames(path) == 3
    else:
        with pytest.raises(DataError, match="v.mp4: its codec is unknown; convert"):
            count_frames(path)


def test_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")  # to open it would wait for a writer, for ever
    with pytest.raises(DataError, match="pipe.mp4: is not a file"):
        read_video(tmp_path / "pipe.mp4")
