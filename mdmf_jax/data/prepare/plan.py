"""What a preparation has to do: the videos in their final order, and the shards they go to."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.protocols.class_folders import stem
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class PlannedVideo:
    """A video to prepare.

    Attributes:
      id: class folder / name without extension.
      class_id: position of its class in the split.
      path: absolute path of the file, or of the folder of images.
      listed: its path relative to the root of the data set, as in the report of failures.
      key: name of its staged result; another file or other settings give another name.
    """

    id: str
    class_id: int
    path: str
    listed: str
    key: str


@dataclass(frozen=True)
class Plan:
    """The videos of each split, class after class, ascending by id.

    Attributes:
      splits: as on disk.
      videos: for each split, [V].
      shard_videos: videos of a shard; the last shard of a split holds what is left.
      images: what the stored images look like.
    """

    splits: tuple[Split, ...]
    videos: tuple[tuple[PlannedVideo, ...], ...]
    shard_videos: int
    images: Images

    @property
    def num_videos(self) -> int:
        return sum(len(videos) for videos in self.videos)

    def shards(self, number: int) -> list[tuple[PlannedVideo, ...]]:
        """The videos of each shard of a split, given by its number."""
        videos, size = self.videos[number], self.shard_videos
        return [videos[begin : begin + size] for begin in range(0, len(videos), size)]

    @cached_property
    def digest(self) -> str:
        """Changes with everything that the shards depend on."""
        splits = [
            [split.name, split.folders, [(video.id, video.key) for video in videos]]
            for split, videos in zip(self.splits, self.videos, strict=True)
        ]
        return _digest([splits, self.shard_videos])


def make_plan(
    root: str | Path, splits: Sequence[Split], images: Images, limits: Limits, shard_videos: int
) -> Plan:
    """Orders the videos and looks at the size and time of change of each file.

    Args:
      root: folder that the paths of `splits` are relative to.
      splits: one for each split that has videos.
      images, limits, shard_videos: see `Plan` and `prepare`.

    Raises:
      DataError: two videos have one id.
    """
    settings = [FORMAT, asdict(images), limits.min_frames, limits.max_frames]
    root = os.path.abspath(root)
    videos = tuple(_videos(root, split, settings) for split in splits)
    return Plan(tuple(splits), videos, shard_videos, images)


def _videos(root: str, split: Split, settings: list) -> tuple[PlannedVideo, ...]:
    planned = []
    for class_id, (folder, paths) in enumerate(zip(split.folders, split.videos, strict=True)):
        named = sorted((f"{folder}/{stem(path.rpartition('/')[2])}", path) for path in paths)
        for (id_, listed), (other, _) in zip(named, [*named[1:], ("", "")], strict=True):
            if id_ == other:
                raise DataError(f"{os.path.join(root, listed)}: {id_} is there twice; remove one")
            path = os.path.join(root, listed)
            key = _digest([settings, id_, listed, *_state(path)])[:32]
            planned.append(PlannedVideo(id_, class_id, path, listed, key))
    return tuple(planned)


def _state(path: str) -> list[int]:
    """What changes when the file does; for a folder of images, when one comes or goes."""
    try:
        status = os.stat(path)
    except OSError:
        return [-1, 0]
    size = len(os.listdir(path)) if os.path.isdir(path) else status.st_size
    return [size, status.st_mtime_ns]


def _digest(value: object) -> str:
    return files.sha256(json.dumps(value).encode())
