"""The classes and videos of a split of a data set: from list files, or from folders.

List files are those of the few-shot protocols (CMN, ARN, OTAM, TRX, CLIP-FSAR), or of one's own:
one line `class/video` for each video, usually without the video's extension.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from mdmf_jax import files
from mdmf_jax.data.protocols.class_folders import folder_order, stem
from mdmf_jax.data.protocols.finding import (
    list_file,
    videos_of_folders,
    videos_of_list,
    videos_of_protocol,
)
from mdmf_jax.data.protocols.protocol import SPLITS, Protocol
from mdmf_jax.errors import DataError


@dataclass(frozen=True)
class Split:
    """Classes of one split, ascending by folder name, and the videos of each class, ascending.

    A video has two numbers: its number within its class, and its flat number, which is
    `offsets[class] + number within the class` and indexes `paths` and `ids`.

    Attributes:
      name: "train", "val" or "test".
      folders: identifier of each class [C]: its folder, or what the protocol calls that.
      names: each class in words [C].
      videos: of each class, paths relative to the root of the data set, ascending by id.
      prompts: what stands for each class in the prompt template [C]; by default its name.
    """

    name: str
    folders: tuple[str, ...]
    names: tuple[str, ...]
    videos: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompts:
            object.__setattr__(self, "prompts", self.names)

    @cached_property
    def counts(self) -> np.ndarray:
        """Videos of each class, int64 [C]."""
        return np.array([len(videos) for videos in self.videos], np.int64)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Flat number of the first video of each class, int64 [C]."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """All videos, class after class, relative to the root of the data set."""
        return tuple(path for videos in self.videos for path in videos)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All videos as "class folder/name without extension", however they are stored."""
        return tuple(
            f"{folder}/{stem(PurePosixPath(path).name)}"
            for folder, videos in zip(self.folders, self.videos, strict=True)
            for path in videos
        )

    @property
    def num_videos(self) -> int:
        return len(self.paths)

    def select(self, items: Iterable[int]) -> "Split":
        """The same classes with those videos only whose flat numbers are in `items`."""
        kept = set(items)
        numbered = (enumerate(v, first) for v, first in zip(self.videos, self.offsets, strict=True))
        videos = tuple(tuple(path for n, path in pairs if n in kept) for pairs in numbered)
        return Split(self.name, self.folders, self.names, videos, self.prompts)


def class_name(folder: str) -> str:
    """A folder's name in words: underscores and camel case become spaces, all in lower case.

    "ApplyEyeMakeup" gives "apply eye makeup", "kick_ball" gives "kick ball".
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", folder)
    return " ".join(words.replace("_", " ").lower().split())


def load_split(
    root: str | Path,
    splits_dir: str | Path,
    split: str,
    protocol: Protocol | None = None,
    frames: bool = False,
    missing: list[str] | None = None,
) -> Split:
    """Read one split of a data set.

    Args:
      root: folder of the videos.
      splits_dir: folder of {split}list.txt, {split}list03.txt or another usual name, in any
        format that `parse_list` reads. A listed video is root/class/video with any extension of a
        video, or root/video where the class has no folder. Spaces and underscores are one and
        the same here, in classes and in videos; a repeated line counts once. If empty, the
        videos are those in root/{split}/class, or, with a protocol that is defined by its
        classes, in root/class.
      split: "train", "val" or "test".
      protocol: says which class a folder or a line means, what classes are called, and which
        belong to the split.
      frames: a video is a folder of images instead of a file.
      missing: None, or a list to which the listed videos that are not there are added, as
        "class/video"; they are then no error.

    Raises:
      DataError: a folder, list or listed video is missing, or a line is malformed.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set data.root to the folder of the videos")
    if splits_dir:
        path = list_file(files.path(splits_dir), split)
        videos = videos_of_list(root, path, split, protocol, frames, missing)
    elif protocol and not (root / split).is_dir():
        videos = videos_of_protocol(root, split, protocol, frames)
    else:
        videos = videos_of_folders(root, split, protocol, frames)
    return _split(split, videos, protocol)


def _split(split: str, videos: Mapping[str, Iterable[str]], protocol: Protocol | None) -> Split:
    """`videos`: paths by class folder (the protocol's, if there is one)."""
    order = folder_order(videos)
    names = prompts = tuple(class_name(folder) for folder in order)
    if protocol:
        classes = [protocol.find(folder) for folder in order]
        names, prompts = (tuple(getattr(c, n) for c in classes) for n in ("name", "prompt"))
    ordered = (sorted(set(videos[f]), key=lambda p: stem(PurePosixPath(p).name)) for f in order)
    return Split(split, tuple(order), names, tuple(map(tuple, ordered)), prompts)
