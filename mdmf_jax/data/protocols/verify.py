"""Compare list files with a protocol: what they are, and what they lack or have too much."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mdmf_jax.data.protocols.lists import ParsedList, classes_of_entries, parse_list
from mdmf_jax.data.protocols.protocol import SPLITS, KnownList, Protocol, ProtocolClass, digest
from mdmf_jax.errors import DataError

STANDARD = "standard"


@dataclass(frozen=True)
class ClassCheck:
    """A class of the split: expected and found number of videos, and whether they are the same."""

    folder: str
    name: str
    expected: int
    found: int
    same: bool

    @property
    def verdict(self) -> str:
        """What differs, in words; "" if nothing does."""
        if self.same:
            return ""
        if not self.found:
            return "missing"
        difference = self.found - self.expected
        if not difference:
            return "other videos"
        return f"{difference} extra" if difference > 0 else f"{-difference} missing"


@dataclass(frozen=True)
class FileCheck:
    """What a list file is.

    `known`: the public lists with its SHA-256. `nearest`: that known set of videos of this split
    with which it shares most classes, and `nearest_differs` the classes in which it differs from
    it. `rows`: comparison with the protocol's own videos. `strange`: lines of each class that is
    none of the protocol's. `elsewhere`: lines of each class of another split. `duplicated`: videos
    listed more than once. `videos`: {video: class}, without repetitions.
    """

    path: Path
    split: str
    known: tuple[KnownList, ...]
    nearest: str
    nearest_differs: tuple[str, ...]
    rows: tuple[ClassCheck, ...]
    strange: Mapping[str, int]
    elsewhere: Mapping[str, int]
    duplicated: tuple[str, ...]
    videos: Mapping[str, ProtocolClass] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether it lists exactly the protocol's videos of this split, each once."""
        odd = self.strange or self.elsewhere or self.duplicated
        return not odd and all(row.same for row in self.rows)


def recognise(parsed: ParsedList, protocol: Protocol) -> tuple[KnownList, ...]:
    """The known lists with the same SHA-256."""
    return tuple(known for known in protocol.lists if known.sha256 == parsed.sha256)


def split_of(parsed: ParsedList, protocol: Protocol, split: str | None = None) -> str:
    """The split that a list is for: as given, or by checksum, content or file name.

    Raises:
      DataError: the given split is unknown, or nothing tells it.
    """
    if split:
        if split not in SPLITS:
            raise DataError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
        return split
    if known := recognise(parsed, protocol):
        return known[0].split
    by_name = [name for name in SPLITS if parsed.path.name.lower().startswith(name)]
    if by_name:
        return by_name[0]
    classes = classes_of_entries(parsed, protocol)
    votes = Counter(e.split_prefix for e in parsed.entries if e.split_prefix)
    votes += Counter(class_.split for class_ in classes if class_)
    if not votes:
        raise DataError(
            f"{parsed.path}: has no class of {protocol.name}; give another protocol, or --split"
        )
    return votes.most_common(1)[0][0]


def check_file(path: str | Path, protocol: Protocol, split: str | None = None) -> FileCheck:
    """Compares a list file with a split of the protocol.

    Raises:
      DataError: the file is not a list, or nothing tells its split.
    """
    parsed = parse_list(path)
    split = split_of(parsed, protocol, split)
    strange: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    videos: dict[str, ProtocolClass] = {}
    for entry, class_ in zip(parsed.entries, classes_of_entries(parsed, protocol), strict=True):
        lines[entry.video] += 1
        if class_ is None:
            strange[entry.class_text] += 1
        elif class_.split != split:
            elsewhere[class_.folder] += 1
        else:
            videos.setdefault(entry.video, class_)
    counts = _contents(videos, protocol)
    nearest, differs = _nearest(counts, protocol, split)
    return FileCheck(
        path=parsed.path,
        split=split,
        known=recognise(parsed, protocol),
        nearest=nearest,
        nearest_differs=differs,
        rows=_rows(counts, protocol, split),
        strange=dict(strange),
        elsewhere=dict(elsewhere),
        duplicated=tuple(video for video, count in lines.items() if count > 1),
        videos=videos,
    )


def shared(checks: Sequence[FileCheck], protocol: Protocol) -> tuple[str, ...]:
    """Videos that are in the lists of more than one split, ascending."""
    splits: dict[str, set[str]] = defaultdict(set)
    for check in checks:
        for video in check.videos:
            splits[protocol.same_video(video)].add(check.split)
    return tuple(sorted(video for video, where in splits.items() if len(where) > 1))


def difference(
    check: FileCheck, others: Iterable[FileCheck], protocol: Protocol
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Videos that other lists of the same split have and this one lacks; and the reverse.

    Each is `folder/video`, ascending.
    """
    mine = _by_key(check, protocol)
    theirs: dict[str, str] = {}
    for other in others:
        if other.split == check.split:
            theirs |= _by_key(other, protocol)
    missing = sorted(theirs[key] for key in theirs.keys() - mine.keys())
    extra = sorted(mine[key] for key in mine.keys() - theirs.keys())
    return tuple(missing), tuple(extra)


def absent(check: FileCheck, folders: Mapping[str, set[str]], protocol: Protocol) -> list[str]:
    """Listed videos that are not on disk, as `folder/video`, ascending.

    Args:
      folders: names of the videos without extension in each folder on disk; those that lie in no
        class folder under "".
    """
    there: dict[str, set[str]] = defaultdict(set)
    for folder, stems in folders.items():
        class_ = protocol.find(folder)
        if class_:
            there[class_.folder] |= {_spaces(protocol.same_video(stem)) for stem in stems}
    loose = {_spaces(protocol.same_video(stem)) for stem in folders.get("", ())}
    missing = []
    for video, class_ in check.videos.items():
        key = _spaces(protocol.same_video(video))
        if key not in there[class_.folder] and key not in loose:
            missing.append(f"{class_.folder}/{video}")
    return sorted(missing)


def _contents(
    videos: Mapping[str, ProtocolClass], protocol: Protocol
) -> dict[str, tuple[int, str]]:
    by_class: dict[str, list[str]] = defaultdict(list)
    for video, class_ in videos.items():
        by_class[class_.folder].append(protocol.same_video(video))
    return {folder: (len(names), digest(names)) for folder, names in by_class.items()}


def _nearest(
    counts: Mapping[str, tuple[int, str]], protocol: Protocol, split: str
) -> tuple[str, tuple[str, ...]]:
    """The known set of videos with which most classes agree; the protocol's own if equal."""
    best, best_key = (STANDARD, ()), None
    for (known_split, name), known in protocol.contents.items():
        if known_split != split:
            continue
        differs = tuple(
            folder
            for folder in sorted({*known, *counts})
            if known.get(folder) != counts.get(folder)
        )
        distance = sum(
            abs(known.get(folder, (0,))[0] - counts.get(folder, (0,))[0]) for folder in differs
        )
        key = (len(differs), distance, name != STANDARD)
        if best_key is None or key < best_key:
            best, best_key = (name, differs), key
    return best


def _rows(
    counts: Mapping[str, tuple[int, str]], protocol: Protocol, split: str
) -> tuple[ClassCheck, ...]:
    expected = protocol.contents[split, STANDARD]
    return tuple(
        ClassCheck(
            folder=class_.folder,
            name=class_.name,
            expected=class_.count,
            found=counts.get(class_.folder, (0,))[0],
            same=counts.get(class_.folder) == expected[class_.folder],
        )
        for class_ in protocol.classes_of(split)
    )


def _by_key(check: FileCheck, protocol: Protocol) -> dict[str, str]:
    return {protocol.same_video(v): f"{c.folder}/{v}" for v, c in check.videos.items()}


def _spaces(name: str) -> str:
    return name.replace(" ", "_")
