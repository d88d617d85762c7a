"""Which files the demo made, told by the files."""

import io

import av
import numpy as np
import pytest

from mdmf_jax.data.demo.dataset import demo_clip
from mdmf_jax.data.demo.origin import looks_like_demo
from mdmf_jax.data.demo.store import encode_mp4


@pytest.fixture(scope="module")
def frames():
    return demo_clip("moving left", "growing", 1)


def encoded(frames, kind, codec, options):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=12, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_a_file_of_the_demo_is_known_wherever_it_lies(frames, tmp_path):
    for name in ("a.mp4", "holiday.mp4"):
        (tmp_path / name).write_bytes(encode_mp4(frames))
        assert looks_like_demo(tmp_path / name)
    long = np.concatenate([frames] * 20)  # as the long video of `mdmf demo`
    (tmp_path / "long.mp4").write_bytes(encode_mp4(long))
    assert looks_like_demo(tmp_path / "long.mp4")
    assert looks_like_demo(frames)


def test_others_are_not(frames, tmp_path):
    """Real videos made as small as the demo's, by other programs, and of other sizes."""
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, frames.shape).astype(np.uint8)
    made = {
        "small.mp4": encoded(real, "mp4", "libx264", {"threads": "1"}),
        "sharp.mp4": encoded(real, "mp4", "libx264", {"crf": "20", "threads": "1"}),
        "old.avi": encoded(real, "avi", "mpeg4", {}),
        "wide.mp4": encode_mp4(np.repeat(frames, 2, axis=2)),
        "text.mp4": b"x264 - core threads=1 bframes=0 rc=crf crf=20.0 ",
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        assert not looks_like_demo(tmp_path / name), name
    assert not looks_like_demo(tmp_path / "absent.mp4") and not looks_like_demo(tmp_path)
    assert not looks_like_demo(real[:, :32]) and not looks_like_demo(np.concatenate([real] * 2))
