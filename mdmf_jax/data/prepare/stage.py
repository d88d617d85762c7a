"""Finished videos of an unfinished preparation, one file each, whole or absent.

A staged video is the JPEG images of its frames, one after the other, then a JSON text with
their lengths and what is known of the video, then the length of that text (8 bytes).
A video that failed has a small JSON file with the reason instead.
"""

import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.errors import DataError

_TAIL = struct.Struct("<8sQ")
_MAGIC = b"mdmfvid1"
_ADVICE = "make room or give another --out, then run the same command again"

Description = Callable[[], tuple[int, int, float]]


@dataclass(frozen=True)
class Staged:
    """What is known of a video that was decoded.

    Attributes:
      width, height: of its images, pixels.
      seconds: duration; 0 if unknown.
      lengths: bytes of each JPEG, [N].
    """

    width: int
    height: int
    seconds: float
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Failed:
    """Why a video was not decoded, and the limits in force then."""

    reason: str
    limits: dict


class Stage:
    """A folder of staged videos, each under a key that changes with the file and the settings.

    Raises:
      DataError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def result(self, key: str, limits: dict) -> Staged | Failed | None:
        """What became of a video; None if it is still to do. A failure counts if it came about
        under the same limits.
        """
        staged = self._staged(key)
        if staged:
            return staged
        try:
            failed = Failed(**json.loads((self.folder / f"{key}.failed").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return failed if failed.limits == limits else None

    def _staged(self, key: str) -> Staged | None:
        path = self.folder / f"{key}.frames"
        try:
            with open(path, "rb") as file:
                end = file.seek(-_TAIL.size, os.SEEK_END)
                magic, length = _TAIL.unpack(file.read(_TAIL.size))
                if magic != _MAGIC or length > end:
                    return None
                file.seek(end - length)
                fields = json.loads(file.read(length))
        except (OSError, ValueError):
            return None
        staged = Staged(**{**fields, "lengths": tuple(fields["lengths"])})
        return staged if sum(staged.lengths) == end - length else None

    def images(self, key: str, staged: Staged) -> Iterator[bytes]:
        """The JPEG files of the frames, in order."""
        with open(self.folder / f"{key}.frames", "rb") as file:
            for length in staged.lengths:
                yield file.read(length)

    def add(self, key: str, images: Iterable[bytes], describe: Description) -> Staged:
        """Writes a video.

        Args:
          key: name of the video.
          images: JPEG files, which may be made one after the other.
          describe: called after the last image; returns (width, height, seconds).
        """
        lengths = []
        with files.whole_file(self.folder / f"{key}.frames", StageError, _ADVICE) as temporary:
            with open(temporary, "wb") as file:
                for image in images:
                    file.write(image)
                    lengths.append(len(image))
                width, height, seconds = describe()
                staged = Staged(width, height, seconds, tuple(lengths))
                text = json.dumps(asdict(staged)).encode()
                file.write(text + _TAIL.pack(_MAGIC, len(text)))
        return staged

    def add_failure(self, key: str, reason: str, limits: dict) -> None:
        """Notes that a video failed."""
        failed = asdict(Failed(reason, limits))
        files.write_json(self.folder / f"{key}.failed", failed, StageError, _ADVICE, indent=None)

    def discard(self, key: str, process: int) -> None:
        """Removes what a process that was killed had written of a video."""
        for path in self.folder.glob(f".{key}.*.{process}.*.tmp"):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what killed workers left; no other process may be at work in the folder."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


class StageError(DataError):
    """The staging folder cannot be written: a fault of the disk, not of a video."""
