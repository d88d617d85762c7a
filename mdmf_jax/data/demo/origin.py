"""Whether a video was made by the demo, told by the file itself.

A name or a folder would be wrong as soon as a file is moved. The demo's files have a size of
picture that no camera has, and libx264 writes into each file how it was called.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mdmf_jax.data.demo.render import MAX_FRAMES, SIDE
from mdmf_jax.data.videos.video import open_video
from mdmf_jax.errors import DataError

_READ = 1 << 16  # bytes; the encoder's line is at the start
# How `store.encode_mp4` calls libx264; its own defaults are crf=23 and three B-frames.
_CALLED = (b"x264 - core", b" threads=1 ", b" bframes=0 ", b" rc=crf ", b" crf=20.0 ")


def looks_like_demo(video: Any) -> bool:
    """Whether the demo made a video: a file that it wrote, or frames of the size it draws.

    A copy is known wherever it lies; one that another program has encoded again is not.

    Args:
      video: path of a file or of a folder of images, or frames uint8 [N, H, W, 3].
    """
    if isinstance(video, np.ndarray):
        return video.shape[1:3] == (SIDE, SIDE) and len(video) <= MAX_FRAMES
    path = Path(os.fspath(video))
    try:
        with open(path, "rb") as file:
            start = file.read(_READ)
    except OSError:  # a folder of images; whatever else is wrong is told by who reads it
        return False
    return all(words in start for words in _CALLED) and _has_side(path)


def _has_side(path: Path) -> bool:
    try:
        with open_video(path) as video:
            return video.frame_pixels == SIDE * SIDE
    except DataError:
        return False
