"""The classes and videos of a part of a data set: from list files, or from folders.

List files are those of the few-shot protocols (CMN, ARN, OTAM, TRX): one line `class/video` for
each video, usually without the video's extension.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdmf_jax.data.video import SUFFIXES
from mdmf_jax.errors import DataError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Classes of one part, ascending by folder name, and the videos of each class, ascending.

    A video has two numbers: its number within its class, and its flat number, which is
    `offsets[class] + number within the class` and indexes `paths`.
    """

    part: str
    folders: tuple[str, ...]
    names: tuple[str, ...]
    videos: tuple[tuple[str, ...], ...]

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

    @property
    def num_videos(self) -> int:
        return len(self.paths)


def class_name(folder: str) -> str:
    """A folder's name in words: underscores and camel case become spaces, all in lower case.

    "ApplyEyeMakeup" gives "apply eye makeup", "kick_ball" gives "kick ball".
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", folder)
    return " ".join(words.replace("_", " ").lower().split())


def load_split(root: str | Path, splits_dir: str | Path, part: str) -> Split:
    """Read one part of a data set.

    Args:
      root: folder of the videos.
      splits_dir: folder of {part}list03.txt or {part}list.txt. Each line is `class/video`; the
        video is root/class/video with any extension of a video. Spaces and underscores are one
        and the same here, in classes and in videos; a repeated line counts once. If empty, the
        videos are those in root/{part}/class.
      part: "train", "val" or "test".

    Raises:
      DataError: a folder, list or listed video is missing, or a line is malformed.
    """
    if part not in PARTS:
        raise DataError(f"part {part!r} is unknown; use one of {', '.join(PARTS)}")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set data.root to the folder of the videos")
    videos = _from_list(root, _list_file(Path(splits_dir), part)) if splits_dir else None
    if videos is None:
        videos = _from_folders(root, part)
    folders = tuple(sorted(videos))
    return Split(
        part=part,
        folders=folders,
        names=tuple(class_name(folder) for folder in folders),
        videos=tuple(tuple(sorted(videos[folder])) for folder in folders),
    )


def _from_folders(root: Path, part: str) -> dict[str, list[str]]:
    if not (root / part).is_dir():
        raise DataError(
            f"{root / part}: no such folder; put the videos in {part}/CLASS/,"
            " or set data.splits to the folder of the list files"
        )
    found = {}
    for folder in _folders(root / part):
        files = _video_files(root / part / folder)
        found[folder] = [f"{part}/{folder}/{file}" for file in files]
    if not found:
        raise DataError(f"{root / part}: holds no class folders; put the videos in {part}/CLASS/")
    return found


def _list_file(splits_dir: Path, part: str) -> Path:
    candidates = [splits_dir / f"{part}list03.txt", splits_dir / f"{part}list.txt"]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(
        f"{candidates[0]}: no such file, nor {candidates[1].name} beside it;"
        " set data.splits to the folder of the list files"
    )


def _from_list(root: Path, list_file: Path) -> dict[str, list[str]]:
    """Find every listed video; only names that are in the folders can be found."""
    folders = {_key(folder): folder for folder in _folders(root)}
    files: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, None]] = {}
    missing = []
    for class_, video in _lines(list_file):
        folder = folders.get(_key(class_), "")
        if folder and folder not in files:
            files[folder] = _by_stem(root / folder)
        file = files[folder].get(_key(video)) if folder else None
        if file:
            found.setdefault(folder, {})[f"{folder}/{file}"] = None
        else:
            missing.append(f"{class_}/{video}")
    if missing:
        raise DataError(
            f"{root}: lacks {len(missing)} of the videos in {list_file} (first: {missing[0]});"
            " add the videos or remove the lines"
        )
    if not found:
        raise DataError(f"{list_file}: lists no videos; write one line class/video for each")
    return {folder: list(paths) for folder, paths in found.items()}


def _lines(list_file: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        class_, slash, video = line.strip().partition("/")
        if not (class_ and video and slash) or "/" in video:
            raise DataError(f"{list_file}, line {number}: {line!r} is not of the form class/video")
        pairs.append((class_, video))
    return pairs


def _by_stem(folder: Path) -> dict[str, str]:
    """File name for each video, under its full name and under its name without extension."""
    names: dict[str, str] = {}
    for file in _video_files(folder):
        stem = _key(os.path.splitext(file)[0])
        if stem in names:
            raise DataError(f"{folder}: {names[stem]} and {file} are one video twice; remove one")
        names[stem] = names[_key(file)] = file
    return names


def _key(name: str) -> str:
    return name.strip().replace(" ", "_")


def _folders(parent: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(parent) if e.is_dir() and e.name[0] != ".")


def _video_files(folder: Path) -> list[str]:
    names = (entry.name for entry in os.scandir(folder) if entry.name[0] != ".")
    return sorted(name for name in names if name.lower().endswith(SUFFIXES))
