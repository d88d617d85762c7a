"""`splits verify`: what list files are, and what they lack or have too much."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from mdmf_jax.data.protocols.protocol import Protocol
    from mdmf_jax.data.protocols.verify import FileCheck

MOST = 20  # names shown of a long list


def run(protocol: "Protocol", options: argparse.Namespace) -> int:
    """Prints the comparison; returns 0 if all is as expected and 1 if not.

    Raises:
      DataError: a file is not a list of videos, or --videos is not a folder.
    """
    from mdmf_jax.cli.splits import plain_console
    from mdmf_jax.data.protocols import verify
    from mdmf_jax.data.protocols.protocol import SPLITS

    console = plain_console()
    checks = [verify.check_file(path, protocol, options.split) for path in options.files]
    others = [verify.check_file(path, protocol, options.split) for path in options.against]
    disk = _disk(options.videos) if options.videos else None
    differ = False
    for check in checks:
        differ |= not _same(console, protocol, check, options.all)
        if others:
            differ |= _difference(console, protocol, check, others)
        if disk is not None:
            gone = verify.absent(check, disk, protocol)
            differ |= _names(console, f"not in {options.videos}", gone)
    common = verify.shared(checks, protocol)
    differ |= _names(console, "in the lists of more than one split", common)
    given = {check.split for check in checks}
    if rest := [split for split in SPLITS if split not in given]:
        console.print(f"no list was given for: {', '.join(rest)}")
    console.print("there are differences" if differ else "all is as expected")
    return int(differ)


def _same(console: "Console", protocol: "Protocol", check: "FileCheck", all_: bool) -> bool:
    classes = sum(row.found > 0 for row in check.rows)
    console.print(f"{check.path}: {check.split}, {len(check.videos)} videos, {classes} classes")
    for line in _identity(protocol, check):
        console.print(f"  {line}")
    rows = [row for row in check.rows if all_ or not row.same]
    if rows:
        console.print(_table(rows))
    missing = sum(max(row.expected - row.found, 0) for row in check.rows)
    extra = sum(max(row.found - row.expected, 0) for row in check.rows)
    other = sum(row.verdict == "other videos" for row in check.rows)
    if rows:
        console.print(
            f"  by number: {missing} missing, {extra} extra, other videos in {other} classes"
        )
    _names(console, "listed more than once", check.duplicated)
    for title, counts in (
        (f"of classes that are not {protocol.name}'s", check.strange),
        ("of classes of another split", check.elsewhere),
    ):
        _names(console, title, [f"{text} ({count})" for text, count in counts.items()])
    return check.ok


def _identity(protocol: "Protocol", check: "FileCheck") -> list[str]:
    if check.known:
        lines = [f"known: {k.variant}; {k.file} of {k.origin}" for k in check.known]
        remarks = {k.remark for k in check.known if k.remark}
        return lines + sorted(remarks)
    known = [k for k in protocol.lists if (k.split, k.contents) == (check.split, check.nearest)]
    name = known[0].variant if known else check.nearest
    if not check.nearest_differs:
        return [f"unknown file, but with the videos of the list: {name}"]
    total = len(check.rows)
    return [
        f"unknown file; the nearest known list is: {name};"
        f" {len(check.nearest_differs)} of {total} classes differ from it"
    ]


def _table(rows):
    from rich.table import Table
    from rich.text import Text

    named = any(row.name != row.folder for row in rows)
    columns = ["folder", "class", "expected", "found", "difference"]
    table = Table(*columns if named else columns[:1] + columns[2:], box=None)
    for row in rows:
        cells = [row.folder, row.name] if named else [row.folder]
        cells += [str(row.expected), str(row.found), row.verdict]
        table.add_row(*map(Text, cells))
    return table


def _difference(console, protocol, check: "FileCheck", others: "list[FileCheck]") -> bool:
    from mdmf_jax.data.protocols import verify
    from mdmf_jax.errors import DataError

    if not any(other.split == check.split for other in others):
        raise DataError(f"--against: no list for {check.split}; give one to compare {check.path}")
    missing, extra = verify.difference(check, others, protocol)
    found = _names(console, "missing", missing)
    return _names(console, "extra", extra) or found


def _names(console: "Console", title: str, names) -> bool:
    """Prints how many there are and the first of them; returns whether there are any."""
    if not names:
        return False
    console.print(f"  {title}: {len(names)}")
    for name in names[:MOST]:
        console.print(f"    {name}")
    if len(names) > MOST:
        console.print(f"    and {len(names) - MOST} more")
    return True


def _disk(folder: str) -> dict[str, set[str]]:
    """Names of videos without extension, or of folders of frames, in each class folder."""
    from mdmf_jax.data.videos.video import SUFFIXES
    from mdmf_jax.errors import DataError

    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the videos")
    found: dict[str, set[str]] = {"": _videos(root, SUFFIXES)}
    for entry in os.scandir(root):
        if entry.is_dir():
            inner = (e.name for e in os.scandir(entry.path) if e.is_dir())
            found[entry.name] = _videos(Path(entry.path), SUFFIXES) | set(inner)
    return found


def _videos(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    files = (entry.name for entry in os.scandir(folder) if entry.is_file())
    return {os.path.splitext(name)[0] for name in files if name.lower().endswith(suffixes)}
