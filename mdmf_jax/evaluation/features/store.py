"""Features of videos on disk, so that a second evaluation starts at once.

Features belong to a key: a checksum over the encoder's parameters, all settings that they
depend on, and the contents of the videos. Each key has a folder with files of some videos each;
any files that together hold all videos will do, so that several processes can share the work.
A file that is damaged in any way counts as missing.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdmf_jax.errors import DataError

FORMAT = 2  # of 1 are features of test clips that were drawn by the names of the videos
_VIDEOS = 512  # of a file at most: what an interruption can cost
_SUFFIX = ".features"

# Computes the features float32 [N, T, D] of the videos with these numbers [N].
Compute = Callable[[np.ndarray], np.ndarray]


def cache_key(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything that features depend on; `content` is plain data for JSON."""
    text = json.dumps({"format": FORMAT} | dict(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class FeatureCache:
    """Stored features of one key.

    Args:
      root: folder of all caches.
      key: as `cache_key` gives it.

    Raises:
      DataError: the folder cannot be made or written to.
    """

    def __init__(self, root: str | Path, key: str):
        self._folder, self._key = Path(root) / key[:32], key
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def features(self, count: int, compute: Compute, shard: int = 0, shards: int = 1) -> np.ndarray:
        """Features of all videos [V, T, D]; computes and stores those that are missing.

        Args:
          count: number of videos V.
          shard, shards: with several shards, only the missing videos of this one are computed,
            and the result is empty if others are missing.

        Raises:
          DataError: the folder cannot be written to.
        """
        parts: dict[int, np.ndarray] = dict(self._stored(count))
        first, last = count * shard // shards, count * (shard + 1) // shards
        missing = [video for video in range(first, last) if video not in parts]
        for start in range(0, len(missing), _VIDEOS):
            videos = np.array(missing[start : start + _VIDEOS])
            features = np.ascontiguousarray(compute(videos), np.float32)
            self._write(videos, features)
            parts |= zip(videos.tolist(), features, strict=True)
        if len(parts) < count:
            return np.zeros((0, 0, 0), np.float32)
        return np.stack([parts[video] for video in range(count)])

    def _stored(self, count: int) -> Iterator[tuple[int, np.ndarray]]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            read = self._read(path)
            if read is not None:
                yield from ((v, x) for v, x in zip(*read, strict=True) if v < count)

    def _read(self, path: Path) -> tuple[list[int], np.ndarray] | None:
        """Numbers and features of the videos of a file; None if it is damaged."""
        try:
            line, _, data = path.read_bytes().partition(b"\n")
            header = json.loads(line)
            videos, shape = header["videos"], header["shape"]
            if header["key"] != self._key or header["checksum"] != _checksum(videos, shape, data):
                return None
            return videos, np.frombuffer(data, "<f4").reshape(len(videos), *shape)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, videos: np.ndarray, features: np.ndarray) -> None:
        """One file, whole or not at all; processes that write the same file do no harm."""
        numbers, shape = videos.tolist(), list(features.shape[1:])
        data = features.astype("<f4").tobytes()
        header = {"key": self._key, "videos": numbers, "shape": shape}
        header["checksum"] = _checksum(numbers, shape, data)
        name = f"{numbers[0]:07d}-{numbers[-1]:07d}-{len(numbers)}{_SUFFIX}"
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(header).encode() + b"\n")
                file.write(data)
            os.replace(temporary, self._folder / name)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self._folder}: features cannot be stored ({error.strerror}); set "
            "--config.eval.feature_cache to another folder, or to off"
        )


def _checksum(videos: list[int], shape: list[int], data: bytes) -> str:
    head = json.dumps([videos, shape]).encode()
    return hashlib.sha256(head + b"\n" + data).hexdigest()
