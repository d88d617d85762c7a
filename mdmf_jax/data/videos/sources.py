"""Where the frames of videos come from: video files, folders of images, or prepared shards.

For one video all three give the same frames, up to what the JPEG files lost, and the videos of a
split come in the same order, so that the same seed gives the same episodes.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mdmf_jax import files
from mdmf_jax.data.prepare.index import PREPARED
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.videos.source_frames import FrameFolders, is_image
from mdmf_jax.data.videos.source_shards import Shards
from mdmf_jax.data.videos.source_videos import VideoFiles
from mdmf_jax.data.videos.video import SUFFIXES
from mdmf_jax.errors import ConfigError, DataError

KINDS = ("auto", "videos", "frames", "prepared")
_MOST_FOLDERS = 10_000  # looked into before giving up


class VideoSource(Protocol):
    """The videos of one split; `item` is a flat number in the split. Threads may share one."""

    split: Split

    def __len__(self) -> int:
        """Number of videos."""
        ...

    def class_of(self, item: int) -> int:
        """Position of the video's class in `split.folders`."""
        ...

    def describe(self, item: int) -> str:
        """The video's path or id, for messages."""
        ...

    def num_frames(self, item: int) -> int:
        """Frames of the video, 1 or more.

        Raises:
          DataError: the video cannot be read.
        """
        ...

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames with numbers `indices`, in that order, RGB uint8 [T, H, W, 3].

        The size is that of the stored frames.

        Raises:
          DataError: the video cannot be read, or has no such frame.
        """
        ...

    def all_frames(self, item: int) -> np.ndarray:
        """All frames, RGB uint8 [N, H, W, 3].

        Raises:
          DataError: the video cannot be read.
        """
        ...


def open_source(
    kind: str, root: str | Path, split: str, split_of: Callable[[bool], Split]
) -> VideoSource:
    """The videos of a split.

    Args:
      kind: one of KINDS; "auto" looks at the folder.
      root: folder of the videos, or of the prepared data set.
      split: "train", "val" or "test".
      split_of: gives the split, from whether a video is a folder of images. Prepared data hold
        their split, so that it is not called for them.

    Raises:
      ConfigError: `kind` is unknown.
      DataError: the folder does not hold the data set.
    """
    kind = find_kind(kind, root)
    if kind == "prepared":
        return Shards(root, split)
    frames = kind == "frames"
    return (FrameFolders if frames else VideoFiles)(root, split_of(frames))


def find_kind(kind: str, root: str | Path) -> str:
    """The kind of a data set: "prepared", "frames" (folders of images) or "videos".

    Args:
      kind: one of KINDS; all but "auto" are the answer.
      root: folder to look at.

    Raises:
      ConfigError: `kind` is unknown.
    """
    if kind not in KINDS:
        raise ConfigError(f"data.source={kind!r} is unknown; use one of {', '.join(KINDS)}")
    if kind != "auto":
        return kind
    if (files.path(root) / PREPARED).is_file():
        return "prepared"
    if files.is_cloud(root):
        raise DataError(f"{root}: holds no {PREPARED}; on gs:// videos must be prepared")
    return "frames" if _holds_images(str(root)) else "videos"


def _holds_images(root: str) -> bool:
    """Whether the first folder that has videos or images in it, below a class, has images."""
    for number, (folder, below, names) in enumerate(os.walk(root)):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(name.lower().endswith(SUFFIXES) for name in names):
            return False
        deep = os.path.relpath(folder, root).count(os.sep) >= 1  # class/video
        if deep and any(is_image(name) for name in names):
            return True
        if number > _MOST_FOLDERS:
            return False
    return False
