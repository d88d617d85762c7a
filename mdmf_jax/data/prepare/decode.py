"""Decode one video, or one folder of images, into JPEG images of the wanted size."""

import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from mdmf_jax.data.prepare.stage import Stage, Staged
from mdmf_jax.data.transforms.geometry import resize_short_side
from mdmf_jax.data.videos.source_frames import image_names, read_image
from mdmf_jax.data.videos.video import open_video
from mdmf_jax.errors import DataError

MAX_VIDEO_PIXELS = 200_000_000_000  # 24,000 frames of 4K


@dataclass(frozen=True)
class Images:
    """What the stored images look like.

    Attributes:
      size: length of the short side, pixels.
      quality: of the JPEG files, 1 to 100.
    """

    size: int = 256
    quality: int = 95


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    Attributes:
      timeout: seconds.
      memory: megabytes of address space of a worker process, 0 for no limit.
      min_frames, max_frames: frames of a video.
    """

    timeout: float = 120.0
    memory: int = 4096
    min_frames: int = 2
    max_frames: int = 20_000

    def as_dict(self) -> dict:
        return asdict(self)


def decode_to_stage(stage: Stage, key: str, path: str, images: Images, limits: Limits) -> Staged:
    """Decodes the video at `path` and adds it to the stage.

    Raises:
      DataError: the video is broken or beyond the limits.
      StageError: the stage cannot be written.
    """
    reader = _Folder(path) if os.path.isdir(path) else _File(path, limits)
    encoder = _Encoder(images, limits, path)

    def describe() -> tuple[int, int, float]:
        encoder.check_count()
        return encoder.width, encoder.height, reader.seconds

    return stage.add(key, encoder.encode(reader.frames()), describe)


class _File:
    def __init__(self, path: str, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self.seconds = 0.0

    def frames(self) -> Iterator[np.ndarray]:
        with open_video(self._path) as video:
            if video.promised > self._limits.max_frames:
                raise _too_long(self._path, f"claims {video.promised:,}", self._limits)
            if video.promised * video.frame_pixels > MAX_VIDEO_PIXELS:
                raise DataError(
                    f"{self._path}: claims {video.promised:,} frames of {video.frame_pixels:,}"
                    f" pixels, more than {MAX_VIDEO_PIXELS:,} in all; scale it down"
                )
            yield from video.pixels()
            self.seconds = video.seconds
            if fault := video.missing():
                raise DataError(f"{self._path}: is cut short: holds {fault}; replace the file")


class _Folder:
    seconds = 0.0  # image files have no times

    def __init__(self, path: str) -> None:
        self._path = path

    def frames(self) -> Iterator[np.ndarray]:
        names = image_names(self._path)
        first = None
        for name in names:
            frame = read_image(os.path.join(self._path, name))
            first = frame.shape if first is None else first
            if frame.shape != first:
                raise DataError(
                    f"{os.path.join(self._path, name)}: is of another size than {names[0]};"
                    " make all images of a video the same size"
                )
            yield frame


class _Encoder:
    """Scales frames and writes them as JPEG; counts them."""

    def __init__(self, images: Images, limits: Limits, path: str) -> None:
        self._images, self._limits, self._path = images, limits, path
        self.count = self.width = self.height = 0

    def encode(self, frames: Iterator[np.ndarray]) -> Iterator[bytes]:
        for frame in frames:
            self.count += 1
            if self.count > self._limits.max_frames:
                raise _too_long(self._path, f"gives more than {self.count - 1:,}", self._limits)
            scaled = resize_short_side(frame[None], self._images.size)[0]
            self.height, self.width = scaled.shape[:2]
            if max(self.height, self.width) > 65_500:
                raise DataError(f"{self._path}: its frames are too long and narrow for JPEG")
            buffer = io.BytesIO()
            image = Image.fromarray(np.ascontiguousarray(scaled))
            image.save(buffer, "JPEG", quality=self._images.quality)
            yield buffer.getvalue()

    def check_count(self) -> None:
        if self.count < self._limits.min_frames:
            frames = "1 frame" if self.count == 1 else f"{self.count} frames"
            raise DataError(
                f"{self._path}: has {frames}, fewer than --min-frames={self._limits.min_frames}"
            )


def _too_long(path: str, what: str, limits: Limits) -> DataError:
    return DataError(f"{path}: {what} frames; at most --max-frames={limits.max_frames} are taken")
