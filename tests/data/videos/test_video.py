import av
import numpy as np
import pytest

from mdmf_jax.data.videos.video import count_frames, read_frames, read_video
from mdmf_jax.errors import DataError


def levels(frames):
    """Number of each frame made by `numbered`, read off its right half."""
    return ((frames[:, :, 40:].mean(axis=(1, 2, 3)) - 20) / 4).round().astype(int).tolist()


@pytest.fixture
def b_frames(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "b.mp4", numbered(40), bf="3", **{"x264-params": "b-adapt=0"})
    with av.open(str(path)) as container:
        order = [p.pts for p in container.demux(video=0) if p.pts is not None]
    assert order != sorted(order)  # stored in another order than shown
    return path


def test_all_frames_in_the_order_shown(b_frames, numbered):
    video = read_video(b_frames)
    assert video.dtype == np.uint8 and video.shape == (40, 48, 64, 3)
    assert levels(video) == list(range(40))
    assert abs(video[..., 2:30, :].astype(int) - numbered(40)[..., 2:30, :]).mean() < 3
    assert count_frames(b_frames) == 40


@pytest.mark.parametrize("indices", [[0], [39], [0, 39], [5, 6, 7, 30], [30, 5], [4, 4, 9]])
def test_chosen_frames_are_those_of_the_whole_video(b_frames, indices):
    np.testing.assert_array_equal(read_frames(b_frames, indices), read_video(b_frames)[indices])


@pytest.mark.parametrize("n", [1, 2, 7, 26])
def test_counts(tmp_path, write_video, numbered, n):
    assert count_frames(write_video(tmp_path / "v.mp4", numbered(n))) == n


def test_colours_are_red_green_blue(tmp_path, write_video):
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[..., 0], frames[..., 2] = 200, 60
    colour = read_video(write_video(tmp_path / "v.mp4", frames)).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(colour, [200, 0, 60], atol=6)


def test_upright_phone_video_is_turned(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(3))
    plain = read_video(path)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # x' = -y, y' = x: a quarter turn clockwise
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    content[matrix : matrix + 36] = np.array(quarter, ">i4").tobytes()
    path.write_bytes(content)
    turned = read_video(path)
    assert turned.shape == (3, 64, 48, 3)
    np.testing.assert_array_equal(turned, plain[:, ::-1].transpose(0, 2, 1, 3))


def test_frame_that_is_not_there(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "short.mp4", numbered(9))
    with pytest.raises(DataError, match="short.mp4: has 9 frames, frame number 9 "):
        read_frames(path, [0, 9])
    with pytest.raises(DataError, match="short.mp4.*0 or more"):
        read_frames(path, [-1, 3])


def broken(tmp_path, write_video, numbered):
    good = write_video(tmp_path / "good.mp4", numbered(20)).read_bytes()
    return {
        "empty.mp4": b"",
        "text.mp4": b"this is not a video\n" * 50,
        "truncated.mp4": good[: len(good) // 2],
        "header.mp4": good[:64],
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n",
        "concat.mp4": b"ffconcat version 1.0\nfile good.mp4\n",
    }


@pytest.mark.parametrize("read", [count_frames, read_video, lambda path: read_frames(path, [0])])
def test_broken_files_are_named(tmp_path, write_video, numbered, read):
    for name, content in broken(tmp_path, write_video, numbered).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=name) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="absent.mp4.*no such file"):
        read_video(tmp_path / "absent.mp4")
    with pytest.raises(DataError, match=str(tmp_path)):
        read_video(tmp_path)


def test_sound_without_pictures(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="sound.mp4: has no video stream"):
        read_video(path)


def test_odd_names_are_only_names(tmp_path, write_video, numbered, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-i.mp4", "file:a#b.mp4", "a (1)[x]&;~@%20.mp4", "http:x.mp4"):
        write_video(tmp_path / name, numbered(2))
        assert count_frames(name) == 2
