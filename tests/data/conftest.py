"""A tiny demo data set, and a writer of small H.264 files whose frames can be told apart."""

import io
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.protocols.splits import load_split

DEMO_CLIPS = 3


@pytest.fixture(scope="session")
def demo_root(made_once):
    make = partial(ensure_demo, clips=DEMO_CLIPS)
    return make(made_once("cache", make))


@pytest.fixture(scope="session")
def demo_split(demo_root):
    return load_split(demo_root / "videos", demo_root / "splits", "test")


@pytest.fixture(scope="session")
def write_video():
    """write(path, frames [N, H, W, 3], **libx264 options), a file with a key frame at the start."""

    def write(path, frames, **options):
        buffer = io.BytesIO()
        options = {"crf": "10", "threads": "1"} | options
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=25, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.time_base = Fraction(1, 25)
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        return path

    return write


@pytest.fixture(scope="session")
def numbered():
    """numbered(n): n frames [n, 48, 64, 3], frame i of grey level 20 + 4 i, left half darker."""

    def make(n):
        levels = 20 + 4 * np.arange(n)
        frames = np.broadcast_to(levels[:, None, None, None], (n, 48, 64, 3)).astype(np.uint8)
        frames[:, :, :32] //= 2
        return frames

    return make
