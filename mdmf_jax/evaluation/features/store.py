"""The feature store: features of videos on disk, so that a second evaluation starts at once.

Features belong to a key: a checksum over the encoder's parameters, all settings that they
depend on, and the contents of the videos. Each key has a folder with files of some videos each;
any files that together hold all videos will do, so that several processes can share the work.
A file that is damaged in any way counts as missing.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.errors import DataError

FORMAT = 2
_VIDEOS = 512  # of a file at most: what an interruption can cost
_SUFFIX = ".features"
UNWRITABLE = (
    "features cannot be stored; set --config.eval.feature_cache to another folder, or to off"
)

Features = dict[str, np.ndarray]
# Computes the features, name -> float32 [N, ...], of the videos with these numbers [N].
Compute = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def cache_key(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything that features depend on; `content` is plain data for JSON."""
    return files.digest({"format": FORMAT} | dict(content))


class FeatureStore:
    """Stored features of one key.

    Args:
      root: folder of all stored features; may be gs://.
      key: as `cache_key` gives it.

    Raises:
      DataError: the folder cannot be made or written to.
    """

    def __init__(self, root: files.Name, key: str):
        self._folder, self._key = files.path(root) / key[:32], key
        files.write_whole(self._folder / ".writable", b"", DataError, UNWRITABLE)

    def features(self, count: int, compute: Compute, shard: int = 0, shards: int = 1) -> Features:
        """Features of all videos, name -> [V, ...]; computes and stores those that are missing.

        Args:
          count: number of videos V.
          shard, shards: with several shards, only the missing videos of this one are computed,
            and the result is empty if others are missing.

        Raises:
          DataError: the folder cannot be written to.
        """
        known: dict[int, Features] = dict(self._stored(count))
        first, last = count * shard // shards, count * (shard + 1) // shards
        missing = [video for video in range(first, last) if video not in known]
        for start in range(0, len(missing), _VIDEOS):
            videos = np.array(missing[start : start + _VIDEOS])
            computed = {
                name: np.ascontiguousarray(x, np.float32) for name, x in compute(videos).items()
            }
            self._write(videos, computed)
            known |= zip(videos.tolist(), _rows(computed), strict=True)
        if len(known) < count:
            return {}
        return {name: np.stack([known[video][name] for video in range(count)]) for name in known[0]}

    def _stored(self, count: int) -> Iterator[tuple[int, Features]]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}"), key=str):
            read = self._read(path)
            if read is not None:
                videos, features = read
                yield from (
                    (v, x) for v, x in zip(videos, _rows(features), strict=True) if v < count
                )

    def _read(self, path: files.AnyPath) -> tuple[list[int], Features] | None:
        """Numbers and features of the videos of a file; None if it is damaged."""
        try:
            line, _, data = path.read_bytes().partition(b"\n")
            header = json.loads(line)
            videos, shapes = header["videos"], header["shapes"]
            if header["key"] != self._key or header["checksum"] != _checksum(videos, shapes, data):
                return None
            features, start = {}, 0
            for name, shape in shapes.items():
                size = 4 * len(videos) * math.prod(shape)
                array = np.frombuffer(data[start : start + size], "<f4")
                features[name] = array.reshape(len(videos), *shape)
                start += size
            return videos, features
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _write(self, videos: np.ndarray, features: Features) -> None:
        """One file, whole or not at all; processes that write the same file do no harm."""
        numbers = videos.tolist()
        shapes = {name: list(x.shape[1:]) for name, x in features.items()}
        data = b"".join(x.astype("<f4").tobytes() for x in features.values())
        header = {"key": self._key, "videos": numbers, "shapes": shapes}
        header["checksum"] = _checksum(numbers, shapes, data)
        name = f"{numbers[0]:07d}-{numbers[-1]:07d}-{len(numbers)}{_SUFFIX}"
        content = json.dumps(header).encode() + b"\n" + data
        files.write_whole(self._folder / name, content, DataError, UNWRITABLE)


def _rows(features: Features) -> Iterator[Features]:
    for row in range(len(next(iter(features.values())))):
        yield {name: x[row] for name, x in features.items()}


def _checksum(videos: list[int], shapes: dict[str, list[int]], data: bytes) -> str:
    return files.sha256([json.dumps([videos, shapes]).encode() + b"\n", data])
