"""Find class folders and videos on disk, whatever form their names take in lists."""

import os
from collections.abc import Iterable
from pathlib import Path

from mdmf_jax.data.videos.video import SUFFIXES
from mdmf_jax.errors import DataError


def key(name: str) -> str:
    """Spaces and underscores are one and the same in the names of lists and folders."""
    return name.strip().replace(" ", "_")


def stem(name: str) -> str:
    """A file's name without the extension of a video; other dots belong to the name."""
    base, extension = os.path.splitext(name)
    return base if extension.lower() in SUFFIXES else name


def folder_order(folders: Iterable[str]) -> list[str]:
    """Folders in ascending order; as numbers if all of them are (official label numbers)."""
    folders = list(folders)
    numbers = all(folder.isascii() and folder.isdigit() for folder in folders)
    return sorted(folders, key=(lambda folder: (int(folder), folder)) if numbers else None)


def class_folders(parent: Path) -> list[str]:
    """Names of the folders in `parent`, hidden ones left out."""
    with os.scandir(parent) as entries:
        return sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")


def videos_by_stem(folder: Path, frames: bool) -> dict[str, str]:
    """File name of each video of a class folder, by its name without extension.

    Args:
      frames: a video is a folder of images instead of a file.

    Raises:
      DataError: two files are one video with two extensions.
    """
    if frames:
        return {name: name for name in class_folders(folder)}
    names: dict[str, str] = {}
    for file in os.listdir(folder):
        if file[0] == "." or not file.lower().endswith(SUFFIXES):
            continue
        other = names.setdefault(stem(file), file)
        if other != file:
            pair = " and ".join(sorted((other, file)))
            raise DataError(f"{folder}: {pair} are one video twice; remove one")
    return names


class ListedVideos:
    """Finds the videos of a list in root/class, or, where a class has no folder, in the root.

    Args:
      folders: by class, its folder below the root.
      frames: as in `videos_by_stem`.
    """

    def __init__(self, root: Path, folders: dict[str, str], frames: bool) -> None:
        self._root, self._folders, self._frames = root, folders, frames
        self._found: dict[str, dict[str, str]] = {}

    def path(self, class_: str, video: str) -> str:
        """Path of the video relative to the root, "" if it is not there.

        Only names that are in the folders can be found, so that no list leads elsewhere.
        """
        folder = self._folders.get(class_, "")
        if folder not in self._found:
            names = videos_by_stem(self._root / folder, self._frames)
            self._found[folder] = {key(name): file for name, file in names.items()}
        file = self._found[folder].get(key(stem(video)))
        return f"{folder}/{file}" if file and folder else file or ""
