"""Find labelled videos in folders, one for each class, and unlabelled ones anywhere."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.classifier.clips import BadVideo, is_video
from mdmf_jax.data.protocols.class_folders import class_folders
from mdmf_jax.data.videos.video import SUFFIXES
from mdmf_jax.errors import DataError


def labelled_videos(root: str | os.PathLike[str]) -> tuple[dict[str, list[Path]], list[BadVideo]]:
    """The videos in root/CLASS/, by class, and what else lies there.

    A video is a file with a video's suffix or a folder of images. Hidden files are passed over.

    Raises:
      DataError: the folder is missing or holds no class folders.
    """
    root = Path(root)
    names = class_folders(root) if root.is_dir() else None
    if not names:
        reason = "holds no class folders" if root.is_dir() else "no such folder"
        raise DataError(f"{root}: {reason}; put the videos of each class in a folder of its name")
    if all(is_video(root / name) and not _has_folders(root / name) for name in names):
        raise DataError(
            f"{root}: its folders hold images, so that each is a video; put them into one folder "
            "for each class"
        )
    found, bad = {}, []
    for name in names:
        found[name], others = videos_in(root / name)
        bad += others
    return found, bad


def videos_in(folder: str | Path) -> tuple[list[Path], list[BadVideo]]:
    """Videos in a folder, ascending by name, and what else lies there.

    Raises:
      DataError: the folder cannot be read.
    """
    folder = Path(folder)
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.name[0] != ".")
        videos = [entry for entry in entries if is_video(entry)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    return videos, [_not_a_video(entry) for entry in entries if entry not in videos]


def _not_a_video(path: Path) -> BadVideo:
    what = "holds no images" if path.is_dir() else "is not a video by its name"
    known = ", ".join(SUFFIXES)
    # An error's text holds no control sequences, whatever the file is called.
    error = DataError(f"{path}: {what} (known: {known}, or a folder of images)")
    return BadVideo(str(path), str(error))


def _has_folders(path: Path) -> bool:
    return any(entry.is_dir() for entry in path.iterdir())


def by_class(
    videos: Any, labels: Sequence[str] | None, on_error: str = "raise"
) -> tuple[dict[str, list[Any]], list[BadVideo]]:
    """Videos by class: of a folder, of a mapping, or of a list with labels; and what else is there.

    Raises:
      DataError: there are no labels, or not as many as videos; or what else is there, if
        `on_error` is "raise".
    """
    if labels is None:
        if isinstance(videos, str | os.PathLike):
            found, bad = labelled_videos(videos)
            if bad and on_error == "raise":
                raise DataError(bad[0].reason)
            return found, bad
        if isinstance(videos, Mapping):
            return {str(name): list(some) for name, some in videos.items()}, []
        raise DataError("labels are missing; give one for each video, or a folder of classes")
    videos = list(videos)
    if len(videos) != len(labels):
        raise DataError(f"there are {len(videos)} videos and {len(labels)} labels")
    named: dict[str, list[Any]] = {}
    for video, label in zip(videos, labels, strict=True):
        named.setdefault(str(label), []).append(video)
    return named, []


def all_videos(root: str | Path) -> list[Path]:
    """All videos in a folder and the folders in it, ascending; a folder of images is one.

    Raises:
      DataError: the folder is missing or holds none.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    found = []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if name[0] != ".")
        images = [name for name in below if is_video(Path(folder) / name)]
        below[:] = [name for name in below if name not in images]
        files = [name for name in files if name[0] != "." and is_video(Path(folder) / name)]
        found += [Path(folder) / name for name in [*files, *images]]
    if not found:
        raise DataError(f"{root}: holds no videos (known: {', '.join(SUFFIXES)})")
    return sorted(found)


def expand(paths: Sequence[str]) -> tuple[list[Path], list[BadVideo]]:
    """The videos that arguments mean: a folder of videos stands for those in it."""
    videos, bad = [], []
    for path in map(Path, paths):
        if path.is_dir() and not is_video(path):
            some, others = videos_in(path)
            videos += some
            bad += others
        else:
            videos.append(path)
    return videos, bad
