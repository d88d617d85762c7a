"""Few-shot protocols: which classes are for training, validation and test, and how many videos.

A protocol is a folder of `splits/` with three files. protocol.json: title, origin and the list
files that are known by their SHA-256. classes.csv: the classes of each split. contents.csv: for
each known set of videos, and each class, the number of videos and a digest of their names. These
are facts about the public list files; the lists themselves are not here.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.errors import ConfigError, DataError

_PLACES = (
    Path(__file__).parents[2] / "assets" / "splits",
    Path(__file__).parents[3] / "splits",
)
SPLITS = ("train", "val", "test")
_LIST_NUMBER = re.compile(r"(train|val|test)(\d{1,4})")
_YOUTUBE = re.compile(r"(.{11})_\d{6}_\d{6}")


@dataclass(frozen=True)
class ProtocolClass:
    """A class of a protocol.

    `folder`: its usual folder on disk. `name`: in words. `prompt`: what goes into the prompt
    template. `label`: its official number in the data set, if there is one. `number`: its number
    within the split in the lists that say `test12`. `count`: number of its videos.
    """

    split: str
    name: str
    prompt: str
    folder: str
    label: int | None
    count: int
    number: int


@dataclass(frozen=True)
class KnownList:
    """A public list file. Lists with the same `contents` and split list the same videos."""

    split: str
    file: str
    origin: str
    revision: str
    sha256: str
    bytes: int
    videos: int
    classes: int
    variant: str
    contents: str
    remark: str = ""

    @property
    def raw_address(self) -> str:
        """Address of the repository's files, to which `file` is relative."""
        repository = self.origin.removeprefix("https://github.com/")
        return f"https://raw.githubusercontent.com/{repository}/{self.revision}"


@dataclass(frozen=True)
class Protocol:
    """A few-shot protocol. `contents`: {(split, contents): {folder: (count, digest)}}."""

    name: str
    title: str
    paper: str
    address: str
    dataset: str
    defined_by: str
    left_right: bool
    remark: str
    classes: tuple[ProtocolClass, ...]
    lists: tuple[KnownList, ...]
    contents: dict[tuple[str, str], dict[str, tuple[int, str]]] = field(repr=False, hash=False)

    def classes_of(self, split: str) -> tuple[ProtocolClass, ...]:
        """Classes of a split, ascending by folder; as numbers if all folders are numbers."""
        numeric = all(c.folder.isdecimal() for c in self.classes)
        chosen = [c for c in self.classes if c.split == split]
        return tuple(sorted(chosen, key=lambda c: int(c.folder) if numeric else c.folder))

    def find(self, text: str) -> ProtocolClass | None:
        """The class with this folder, name, official label number, or number in a list (test12).

        Case, spaces, underscores, brackets and other signs do not matter.
        """
        text = text.strip()
        if text.isascii() and text.isdecimal() and len(text) < 7:
            return self._by_label.get(int(text))
        if match := _LIST_NUMBER.fullmatch(text):
            return self._by_number.get((match[1], int(match[2])))
        return self._by_name.get(_letters(text))

    def same_video(self, video: str) -> str:
        """What tells videos apart: the name; for Kinetics that without the time stamps."""
        match = _YOUTUBE.fullmatch(video) if self.dataset.startswith("Kinetics") else None
        return match[1] if match else video

    @cached_property
    def _by_label(self) -> dict[int, ProtocolClass]:
        return {c.label: c for c in self.classes if c.label is not None}

    @cached_property
    def _by_number(self) -> dict[tuple[str, int], ProtocolClass]:
        return {(c.split, c.number): c for c in self.classes}

    @cached_property
    def _by_name(self) -> dict[str, ProtocolClass]:
        return {_letters(text): c for c in self.classes for text in (c.name, c.folder)}


def names() -> list[str]:
    """Names of all protocols, ascending."""
    return sorted(path.parent.name for path in _place().glob("*/protocol.json"))


@cache
def load(name: str) -> Protocol:
    """Reads a protocol.

    Raises:
      ConfigError: there is no such protocol.
    """
    if name not in names():
        raise ConfigError(f"protocol {name!r} is unknown; known: {', '.join(names())}")
    folder = _place() / name
    facts = files.read_json(folder / "protocol.json", DataError)
    facts["lists"] = tuple(KnownList(**known) for known in facts["lists"])
    contents: dict[tuple[str, str], dict[str, tuple[int, str]]] = {}
    for row in _rows(folder / "contents.csv"):
        classes = contents.setdefault((row["split"], row["contents"]), {})
        classes[row["folder"]] = (int(row["count"]), row["digest"])
    return Protocol(name=name, classes=_classes(folder), contents=contents, **facts)


def digest(videos: Iterable[str]) -> str:
    """Digest of a set of video names: the same for the same names in any order."""
    return files.sha256("\n".join(sorted(set(videos))).encode())[:16]


def match_folders(
    protocol: Protocol, split: str, folders: Iterable[str]
) -> dict[str, ProtocolClass]:
    """The class of each folder on disk, for the classes of one split, ascending by folder.

    Folders of other splits, and folders of no class, may be there as well.

    Raises:
      DataError: a class of the split has no folder or two.
    """
    classes = [(folder, protocol.find(folder)) for folder in sorted(folders)]
    found: dict[ProtocolClass, str] = {}
    for folder, class_ in classes:
        if class_ is None or class_.split != split:
            continue
        if class_ in found:
            raise DataError(
                f"folders {found[class_]!r} and {folder!r} are both class {class_.name!r} of"
                f" {protocol.name}; merge them"
            )
        found[class_] = folder
    if missing := [c.folder for c in protocol.classes_of(split) if c not in found]:
        strange = [folder for folder, class_ in classes if class_ is None]
        raise DataError(
            f"{protocol.name}, {split}: {len(missing)} of {len(missing) + len(found)} classes"
            f" have no folder ({some(missing)}); folders of no class: {some(strange) or 'none'}"
        )
    return {folder: class_ for class_, folder in found.items()}


def some(texts: Iterable[str], most: int = 5) -> str:
    """The first few of the texts, for a message."""
    texts = list(texts)
    rest = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*map(repr, texts[:most]), *rest])


def _letters(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _classes(folder: Path) -> tuple[ProtocolClass, ...]:
    return tuple(
        ProtocolClass(
            split=row["split"],
            name=row["name"],
            prompt=row["prompt"],
            folder=row["folder"],
            label=int(row["label"]) if row["label"] else None,
            count=int(row["count"]),
            number=int(row["number"]),
        )
        for row in _rows(folder / "classes.csv")
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _place() -> Path:
    # A checkout without symbolic links has only the second.
    return next((place for place in _PLACES if place.is_dir()), _PLACES[0])
