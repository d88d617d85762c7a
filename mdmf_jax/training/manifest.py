"""Sizes and SHA-256 of every file of a checkpoint, written last and checked before reading.

A checkpoint without a manifest is damaged, unless the marker that a save leaves beside it says
that the save was interrupted; then it does not count as a checkpoint.
"""

import json
from collections.abc import Iterator
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import CheckpointError

NAME = "manifest.json"


def write_manifest(folder: files.AnyPath) -> None:
    """Writes folder/manifest.json; it is there whole or not at all, also after a power cut."""
    listed = {path: _entry(folder / path) for path in _files(folder)}
    files.write_whole(folder / NAME, _render(listed), CheckpointError)


def check_manifest(folder: files.AnyPath) -> None:
    """Compares a checkpoint with its manifest.

    Raises:
      CheckpointError: the manifest is missing or changed, or a file that it lists is missing,
        of another size or of other content; the message names the file.
    """
    for path, expected in _read(folder).items():
        file = folder / path
        if not file.is_file():
            raise _damaged(folder, f"{path} is missing")
        size = files.size_of(file)
        if size != expected["bytes"]:
            raise _damaged(folder, f"{path} has {size} bytes instead of {expected['bytes']}")
        if files.sha256_of(file, CheckpointError) != expected["sha256"]:
            raise _damaged(folder, f"the content of {path} has changed")


def _read(folder: files.AnyPath) -> dict[str, dict[str, Any]]:
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _damaged(folder, f"{NAME} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(folder, f"{NAME} cannot be read ({error})") from None
    try:
        listed = json.loads(text)["files"]
        same = _render(listed) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        raise _damaged(folder, f"the content of {NAME} has changed")
    return listed


def _render(entries: dict[str, dict[str, Any]]) -> str:
    """The manifest's text; it holds its own checksum, so that any change of it shows."""
    listed = json.dumps(entries, indent=1, sort_keys=True)
    digest = files.sha256(listed.encode())
    return f'{{"files": {listed},\n"sha256": "{digest}"}}\n'


def _files(folder: files.AnyPath, above: str = "") -> Iterator[str]:
    """Names of all files in a folder and the folders in it, without the manifest."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path, f"{above}{path.name}/")
        elif above + path.name != NAME:
            yield above + path.name


def _entry(path: files.AnyPath) -> dict[str, Any]:
    return {"bytes": files.size_of(path), "sha256": files.sha256_of(path, CheckpointError)}


def _damaged(folder: files.AnyPath, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} is damaged: {reason}; restore it from a copy, delete the folder, or set "
        "checkpoint.on_corrupt=fallback to use the one before"
    )
