"""Sizes and SHA-256 of every file of a checkpoint, written last and checked before reading.

A checkpoint without a manifest is damaged, unless the marker that a save leaves beside it says
that the save was interrupted; then it does not count as a checkpoint.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdmf_jax.errors import CheckpointError

NAME = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Writes folder/manifest.json; it is there whole or not at all, also after a power cut."""
    files = {path: _entry(folder / path) for path in _files(folder)}
    temporary = folder.parent / f".{folder.name}.{NAME}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(_render(files))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / NAME)
    sync_folder(folder)


def check_manifest(folder: Path) -> None:
    """Compares a checkpoint with its manifest.

    Raises:
      CheckpointError: the manifest is missing or changed, or a file that it lists is missing,
        of another size or of other content; the message names the file.
    """
    for path, expected in _read(folder).items():
        file = folder / path
        if not file.is_file():
            raise _damaged(folder, f"{path} is missing")
        size = file.stat().st_size
        if size != expected["bytes"]:
            raise _damaged(folder, f"{path} has {size} bytes instead of {expected['bytes']}")
        if _sha256(file) != expected["sha256"]:
            raise _damaged(folder, f"the content of {path} has changed")


def sync_folder(folder: Path) -> None:
    """Returns when the names of the folder's files are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _damaged(folder, f"{NAME} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(folder, f"{NAME} cannot be read ({error})") from None
    try:
        files = json.loads(text)["files"]
        same = _render(files) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        raise _damaged(folder, f"the content of {NAME} has changed")
    return files


def _render(files: dict[str, dict[str, Any]]) -> str:
    """The manifest's text; it holds its own checksum, so that any change of it shows."""
    listed = json.dumps(files, indent=1, sort_keys=True)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    return f'{{"files": {listed},\n"sha256": "{digest}"}}\n'


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / NAME:
            yield path.relative_to(folder).as_posix()


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} is damaged: {reason}; restore it from a copy, delete the folder, or set "
        "checkpoint.on_corrupt=fallback to use the one before"
    )
