"""Decode video files with PyAV: all frames, or only those asked for.

Frames are counted and numbered in the order in which they are shown. The number of frames is
found by decoding: what a container says about itself is often wrong or absent. PyAV is imported
where it is used: machines that read prepared data need not have it.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdmf_jax.data.videos.video_faults import explain
from mdmf_jax.errors import DataError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

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
      DataError: the file is missing or is not a video that can be decoded.
    """
    with open_video(path) as video:
        return sum(1 for _ in video.frames())


def read_video(path: str | Path) -> np.ndarray:
    """All frames in RGB, uint8 [N, H, W, 3].

    Raises:
      DataError: the file is missing or is not a video that can be decoded.
    """
    with open_video(path) as video:
        return np.stack(list(video.pixels()))


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """The frames with numbers `indices`, in that order, in RGB, uint8 [T, H, W, 3].

    Decodes from the start to the last index, and converts only the chosen frames.

    Raises:
      DataError: the file is missing or is not a video that can be decoded, or an index is not one
        of a frame.
    """
    wanted = [int(index) for index in indices]
    if not wanted or min(wanted) < 0:
        raise DataError(f"{path}: frame numbers must be 0 or more, got {wanted}")
    needed = set(wanted)
    chosen = {}
    number, to_pixels = -1, None
    with open_video(path) as video:
        for number, frame in enumerate(video.frames()):
            to_pixels = to_pixels or _ToPixels(frame)
            if number in needed:
                chosen[number] = to_pixels(frame)
                if len(chosen) == len(needed):
                    return np.stack([chosen[index] for index in wanted])
    raise DataError(
        f"{path}: has {number + 1} frames, frame number {max(wanted)} (from 0) was asked for"
    )


class OpenVideo:
    """The first video stream of an open file; its frames can be gone through once.

    Attributes:
      frame_pixels: width x height according to the header.
      promised: number of frames that the container claims to have, 0 if it does not say.
      decoded: frames decoded so far.
    """

    def __init__(self, path: str | Path, container: "InputContainer") -> None:
        if not container.streams.video:
            raise DataError(f"{path}: has no video stream; replace or remove the file")
        self._path, self._container = path, container
        self._stream = container.streams.video[0]
        context = self._stream.codec_context
        if context is None:  # what PyAV shows for a stream without a known codec
            raise DataError(f"{path}: its codec is unknown; convert or remove the file")
        self.frame_pixels = context.width * context.height
        if self.frame_pixels > MAX_PIXELS:
            raise DataError(
                f"{path}: its frames are {context.width} x {context.height} pixels,"
                f" more than {MAX_PIXELS:,}; scale the video down"
            )
        context.thread_count = 1  # loaders decode several videos at once instead
        self.promised = self._stream.frames
        self.decoded = 0
        self._first = self._last = 0.0

    @property
    def seconds(self) -> float:
        """Duration of the frames decoded so far; 0 if the file holds no times."""
        if self.decoded < 2:
            rate = self._stream.average_rate
            return float(1 / rate) if rate and self.decoded else 0.0
        span = self._last - self._first
        return span * self.decoded / (self.decoded - 1)  # the last frame is shown as well

    def frames(self) -> Iterator["av.VideoFrame"]:
        """Frames in the order shown, one at least.

        Raises:
          DataError: the file is damaged.
        """
        from av.error import FFmpegError

        try:
            for frame in self._container.decode(self._stream):
                self._last = frame.time or 0.0
                self._first = self._first if self.decoded else self._last
                self.decoded += 1
                yield frame
        except FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise DataError(
                f"{self._path}: is damaged or cut short, decoding stopped after frame"
                f" {self.decoded} ({error.strerror}); replace or remove the file"
            ) from error
        if not self.decoded:
            raise DataError(f"{self._path}: holds no frames; replace or remove the file")

    def missing(self) -> str:
        """After the last frame: in what way the frames fall short of the header's promise, or "".

        An AVI or Matroska file that is cut in half decodes without an error. (An MP4 gives one,
        and its header may rightly promise more frames than are to be shown.)
        """
        kind = self._container.format.name
        if kind == "avi" and self.decoded < 0.9 * self.promised:
            return f"{self.decoded} of the {self.promised} frames that its header promises"
        if "matroska" in kind and len(self._container.streams) == 1 and self.decoded > 2:
            promised = (self._container.duration or 0) / 1e6
            if self.seconds < 0.8 * promised:
                return f"{self.seconds:.1f} of the {promised:.1f} s that its header promises"
        return ""

    def pixels(self) -> Iterator[np.ndarray]:
        """The same in RGB, each uint8 [H, W, 3]."""
        to_pixels = None
        for frame in self.frames():
            to_pixels = to_pixels or _ToPixels(frame)
            yield to_pixels(frame)


class _ToPixels:
    """Converts the frames of one video to RGB, in the size and attitude of its first frame."""

    def __init__(self, first: "av.VideoFrame") -> None:
        from av.video.reformatter import VideoReformatter

        # One converter for all frames, and one thread: setting it up costs more than its work.
        self._converter = VideoReformatter()
        self._size = (first.width, first.height)
        self._quarters = round(first.rotation / 90)  # a phone held upright says so in the file

    def __call__(self, frame: "av.VideoFrame") -> np.ndarray:
        width, height = self._size
        converted = self._converter.reformat(frame, width, height, "rgb24", threads=1)
        return np.rot90(converted.to_ndarray(), self._quarters)


@contextlib.contextmanager
def open_video(path: str | Path) -> Iterator[OpenVideo]:
    """Opens a local file of a known kind.

    Raises:
      DataError: the file is missing, is not a video, or its frames are too large.
    """
    import av
    from av.error import FFmpegError

    name = os.path.abspath(path)  # a path, whatever it looks like: never a protocol or an option
    if os.path.exists(name) and not os.path.isfile(name):
        raise DataError(f"{path}: is not a file; replace or remove it")  # a pipe would block
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(av.open(name, options=_OPEN_OPTIONS))
        except (FFmpegError, OSError) as error:
            if isinstance(error, MemoryError):
                raise
            reason = explain(name) or error.strerror or error
            raise DataError(
                f"{path}: cannot be decoded as a video ({reason}); replace or remove the file"
            ) from error
        yield OpenVideo(path, container)
