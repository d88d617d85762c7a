"""Decode video files with PyAV: all frames, or only those asked for.

Frames are counted and numbered in the order in which they are shown. The number of frames is
found by decoding: what a container says about itself is often wrong or absent.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from mdmf_jax.errors import DataError

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
MAX_PIXELS = 64_000_000  # one frame of 8K is 33 million; a forged header can claim far more

# Only plain files of known kinds. A playlist renamed to .mp4 could otherwise make the decoder
# open other files, or addresses on the network.
_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "avi,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegvideo,mpegts",
}


def count_frames(path: str | Path) -> int:
    """Number of frames that can be decoded, 1 or more.

    Raises:
      DataError: the file is missing or is no video that can be decoded.
    """
    with _decoded(path) as frames:
        return sum(1 for _ in frames)


def read_video(path: str | Path) -> np.ndarray:
    """All frames in RGB, uint8 [N, H, W, 3].

    Raises:
      DataError: the file is missing or is no video that can be decoded.
    """
    with _decoded(path) as frames:
        first = next(frames)
        to_pixels = _ToPixels(first)
        return np.stack([to_pixels(first), *map(to_pixels, frames)])


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """The frames with numbers `indices`, in that order, in RGB, uint8 [T, H, W, 3].

    Decodes from the start to the last index, and converts only the chosen frames.

    Raises:
      DataError: the file is missing or is no video that can be decoded, or an index is not one
        of a frame.
    """
    wanted = [int(index) for index in indices]
    if not wanted or min(wanted) < 0:
        raise DataError(f"{path}: frame numbers must be 0 or more, got {wanted}")
    needed = set(wanted)
    chosen = {}
    number, to_pixels = -1, None
    with _decoded(path) as frames:
        for number, frame in enumerate(frames):
            to_pixels = to_pixels or _ToPixels(frame)
            if number in needed:
                chosen[number] = to_pixels(frame)
                if len(chosen) == len(needed):
                    return np.stack([chosen[index] for index in wanted])
    raise DataError(
        f"{path}: has {number + 1} frames, frame number {max(wanted)} (from 0) was asked for"
    )


class _ToPixels:
    """Converts the frames of one video to RGB, in the size and attitude of its first frame."""

    def __init__(self, first: av.VideoFrame) -> None:
        # One converter for all frames, and one thread: setting it up costs more than its work.
        self._converter = VideoReformatter()
        self._size = (first.width, first.height)
        self._quarters = round(first.rotation / 90)  # a phone held upright says so in the file

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._size
        converted = self._converter.reformat(frame, width, height, "rgb24", threads=1)
        return np.rot90(converted.to_ndarray(), self._quarters)


@contextlib.contextmanager
def _decoded(path: str | Path) -> Iterator[Iterator[av.VideoFrame]]:
    """An iterator over the decoded frames, one at least; errors become one-line DataErrors."""
    name = os.path.abspath(path)  # a path, whatever it looks like: never a protocol or an option
    try:
        with av.open(name, options=_OPEN_OPTIONS) as container:
            yield _frames(container, path)
    except (FFmpegError, OSError) as error:
        reason = "no such file" if not os.path.exists(name) else error.strerror or error
        raise DataError(
            f"{path}: cannot be decoded as a video ({reason}); replace or remove the file"
        ) from error


def _frames(container: InputContainer, path: str | Path) -> Iterator[av.VideoFrame]:
    if not container.streams.video:
        raise DataError(f"{path}: has no video stream; replace or remove the file")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise DataError(
            f"{path}: its frames are {context.width} x {context.height} pixels,"
            f" more than {MAX_PIXELS:,}; scale the video down"
        )
    context.thread_count = 1  # loaders decode several videos at once instead
    number = -1
    for number, frame in enumerate(container.decode(stream)):  # noqa: B007 (used after the loop)
        yield frame
    if number < 0:
        raise DataError(f"{path}: holds no frames; replace or remove the file")
