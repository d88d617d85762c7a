"""Find the videos of a split on disk: in class folders, by a protocol's classes, or by a list.

Each function gives paths relative to the root by class. A class is named by its folder, or with
a protocol by the folder that the protocol gives it, whatever it is called on disk.
"""

from pathlib import Path

from mdmf_jax import files
from mdmf_jax.data.local_copies import local_copy
from mdmf_jax.data.protocols.class_folders import ListedVideos, class_folders, key, videos_by_stem
from mdmf_jax.data.protocols.lists import parse_list, require_classes
from mdmf_jax.data.protocols.protocol import Protocol, match_folders
from mdmf_jax.errors import DataError


def videos_of_folders(
    root: Path, split: str, protocol: Protocol | None, frames: bool
) -> dict[str, list[str]]:
    """The videos in root/split/class.

    Raises:
      DataError: there are no such folders, or one is not a class of the split in the protocol.
    """
    if not (root / split).is_dir():
        raise DataError(
            f"{root / split}: no such folder; put the videos in {split}/CLASS/, or set data.splits"
            " to the folder of the list files (mdmf splits draw makes some)"
        )
    found = {}
    for folder in class_folders(root / split):
        class_ = folder
        if protocol:
            known = protocol.find(folder)
            if known is None or known.split != split:
                raise DataError(
                    f"{root / split / folder}: is not a {split} class of {protocol.name};"
                    " move the folder away or leave data.protocol empty"
                )
            class_ = known.folder
        files = videos_by_stem(root / split / folder, frames).values()
        found.setdefault(class_, []).extend(f"{split}/{folder}/{file}" for file in files)
    if not found:
        raise DataError(f"{root / split}: holds no class folders; put the videos in {split}/CLASS/")
    return found


def videos_of_protocol(
    root: Path, split: str, protocol: Protocol, frames: bool
) -> dict[str, list[str]]:
    """The videos in root/class of the classes that a protocol gives to the split.

    Raises:
      DataError: a class has no folder, or the protocol is defined by lists of videos.
    """
    if protocol.defined_by != "classes":
        raise DataError(
            f"{protocol.name} is defined by lists of videos; set data.splits to the folder of its"
            f" list files (mdmf splits fetch {protocol.name} --out DIR)"
        )
    try:
        classes = match_folders(protocol, split, class_folders(root))
    except DataError as error:
        raise DataError(f"{root}: {error}") from error
    return {
        class_.folder: [f"{f}/{file}" for file in videos_by_stem(root / f, frames).values()]
        for f, class_ in classes.items()
    }


def _folders_of(root: Path, protocol: Protocol) -> dict[str, str]:
    """Folder on disk by the protocol's folder of its class."""
    found: dict[str, str] = {}
    for folder in class_folders(root):
        known = protocol.find(folder)
        if known is None:
            continue
        other = found.setdefault(known.folder, folder)
        if other != folder:
            raise DataError(f"{root}: {other} and {folder} are one class twice; merge them")
    return found


def list_file(splits_dir: files.AnyPath, split: str) -> Path:
    """The list of a split in a folder, under one of the usual names.

    Raises:
      DataError: there is none.
    """
    endings = ("list03.txt", "list.txt", "list07.txt", "_few_shot.txt", ".list")
    names = [f"{split}{ending}" for ending in endings]
    for name in names:
        if (splits_dir / name).is_file():
            return local_copy(splits_dir / name)
    raise DataError(
        f"{splits_dir / names[0]}: no such file, nor {', '.join(names[1:])} beside it;"
        " set data.splits to the folder of the list files"
    )


def videos_of_list(
    root: Path,
    path: Path,
    split: str,
    protocol: Protocol | None,
    frames: bool,
    lost: list[str] | None = None,
) -> dict[str, list[str]]:
    """The videos that a list names, in root/class or, without such a folder, in the root.

    Videos that are not there are added to `lost`; without it they are an error.

    Raises:
      DataError: a line is malformed or of another split, or a listed video is not there.
    """
    folders = _folders_of(root, protocol) if protocol else {key(f): f for f in class_folders(root)}
    videos = ListedVideos(root, folders, frames)
    found: dict[str, list[str]] = {}
    missing = []
    for class_, video in _lines(path, split, protocol):
        file = videos.path(class_, video)
        if file:
            name = class_ if protocol else folders.get(class_, class_)
            found.setdefault(name, []).append(file)
        else:
            missing.append(f"{class_}/{video}")
    if lost is not None:
        lost.extend(missing)
    elif missing:
        raise DataError(
            f"{root}: lacks {len(missing)} of the videos in {path} (first: {missing[0]});"
            " add the videos or remove the lines"
        )
    return found


def _lines(path: Path, split: str, protocol: Protocol | None) -> list[tuple[str, str]]:
    """Pairs of a class (the protocol's folder, or `key` of the text) and a video."""
    parsed = parse_list(path)
    if protocol:
        classes = require_classes(parsed, protocol)
        for entry, class_ in zip(parsed.entries, classes, strict=True):
            if class_.split != split:
                raise DataError(
                    f"{path}, line {entry.line}: {entry.class_text!r} is a {class_.split} class of"
                    f" {protocol.name}; correct the {split} list or leave data.protocol empty"
                )
        return [(c.folder, e.video) for e, c in zip(parsed.entries, classes, strict=True)]
    for entry in parsed.entries:
        if entry.class_text == f"{entry.split_prefix}{entry.number}":
            raise DataError(
                f"{path}, line {entry.line}: names its class by a number ({entry.class_text});"
                " set data.protocol, so that it is known which class that is"
            )
    return [(key(entry.class_text), entry.video) for entry in parsed.entries]
