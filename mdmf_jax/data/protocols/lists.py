"""List files of few-shot protocols: reading all their formats, and writing one.

Formats, one video a line: `class/video` (CMN, ARN, TRX), `126/78687` (official label number),
`test18/78687` (number of the class within the split), `test18//path/class/video.avi` (CLIP-FSAR).
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.data.protocols.protocol import Protocol, ProtocolClass
from mdmf_jax.data.videos.video import SUFFIXES
from mdmf_jax.errors import DataError

MAX_BYTES = 64 * 2**20
MAX_LINE = 4096

_NUMBERED = re.compile(r"(train|val|test)(\d{1,4})/(/?)(.+)")


@dataclass(frozen=True)
class ListedVideo:
    """One line. `split_prefix` is "test" and `number` 12 for `test12/...`, else "" and None.

    `class_text` is what stands for the class: its folder, or `test12` if the line has no folder.
    """

    split_prefix: str
    class_text: str
    video: str
    line: int
    number: int | None = None


@dataclass(frozen=True)
class ParsedList:
    """A list file: its path, SHA-256, size in bytes and lines."""

    path: Path
    sha256: str
    bytes: int
    entries: tuple[ListedVideo, ...]


def parse_list(path: str | Path, protocol: Protocol | None = None) -> ParsedList:
    """Reads a list file.

    Args:
      protocol: if given, every class must be one of its classes.

    Raises:
      DataError: the file cannot be read, is larger than 64 MB, lists nothing, or a line is
        malformed, names a place outside the data set, or a class that is not the protocol's.
    """
    path = Path(path)
    return parse_bytes(_read(path), path, protocol)


def parse_bytes(content: bytes, path: Path, protocol: Protocol | None = None) -> ParsedList:
    """The same for the content of a list; `path` is for messages."""
    entries = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        where = f"{path}, line {number}"
        if raw.strip():
            entries.append(_entry(_text(raw, where), number, where))
    if not entries:
        raise DataError(f"{path}: lists no videos; write one line class/video for each")
    parsed = ParsedList(path, files.sha256(content), len(content), tuple(entries))
    if protocol is not None:
        require_classes(parsed, protocol)
    return parsed


def classes_of_entries(parsed: ParsedList, protocol: Protocol) -> tuple[ProtocolClass | None, ...]:
    """The class of each line; None if it is not the protocol's.

    Raises:
      DataError: a line's folder is one class and its number another.
    """
    known: dict[tuple[str, int | None, str], ProtocolClass | None] = {}
    for entry in parsed.entries:
        key = (entry.split_prefix, entry.number, entry.class_text)
        if key not in known:
            known[key] = _class_of(entry, protocol, f"{parsed.path}, line {entry.line}")
    return tuple(known[e.split_prefix, e.number, e.class_text] for e in parsed.entries)


def require_classes(parsed: ParsedList, protocol: Protocol) -> tuple[ProtocolClass, ...]:
    """The class of each line.

    Raises:
      DataError: a class is not the protocol's.
    """
    classes = classes_of_entries(parsed, protocol)
    for entry, class_ in zip(parsed.entries, classes, strict=True):
        if class_ is None:
            raise DataError(
                f"{parsed.path}, line {entry.line}: {entry.class_text!r} is not a class of"
                f" {protocol.name}"
            )
    return tuple(class_ for class_ in classes if class_ is not None)


def write_list(path: Path, lines: Iterable[str]) -> None:
    """Writes a list whole or not at all.

    Raises:
      DataError: it cannot be written.
    """
    files.write_whole(path, "".join(f"{line}\n" for line in lines), DataError)


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is not a file; give a list file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: is larger than 64 MB; this is not a list of videos")
    return content


def _text(raw: bytes, where: str) -> str:
    if len(raw) > MAX_LINE:
        raise DataError(f"{where}: is longer than {MAX_LINE} bytes; this is not a list of videos")
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is not UTF-8 text; convert the file to UTF-8") from error
    if not text.isprintable():
        raise DataError(f"{where}: {text[:80]!r} holds control characters; remove them")
    return text


def _entry(text: str, line: int, where: str) -> ListedVideo:
    match = _NUMBERED.fullmatch(text)
    steps = (match[4] if match else text).split("/")
    if any(step.strip() in ("", ".", "..") or "\\" in step for step in steps):
        raise DataError(f"{where}: {text[:80]!r} is not a path within the data set; correct it")
    with_path = bool(match and match[3])
    if not with_path and len(steps) != (1 if match else 2):
        raise DataError(f"{where}: {text[:80]!r} is not of the form class/video")
    video = steps[-1].strip()
    stem, suffix = os.path.splitext(video)
    video = stem if suffix.lower() in SUFFIXES else video
    if not match:
        return ListedVideo("", steps[0].strip(), video, line)
    folder = steps[-2].strip() if len(steps) > 1 else match[1] + match[2]
    return ListedVideo(match[1], folder, video, line, int(match[2]))


def _class_of(entry: ListedVideo, protocol: Protocol, where: str) -> ProtocolClass | None:
    found = protocol.find(entry.class_text)
    if not entry.split_prefix:
        return found
    numbered = protocol.find(f"{entry.split_prefix}{entry.number}")
    if found and numbered and found is not numbered:
        raise DataError(
            f"{where}: folder {entry.class_text!r} is {found.name!r}, but number"
            f" {entry.split_prefix}{entry.number} is {numbered.name!r}; correct the line"
        )
    return found or numbered
