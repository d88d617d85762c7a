"""The files beside the shards of a prepared data set.

    prepared.json           written last: classes, settings, shards and counts of every split
    SPLIT.index.json        a column for each fact about the videos of a split
    failed.csv              path and reason of every video that is not in the shards
    prepared_videos/1.0.0   the shards, as TensorFlow Datasets lays them out

Record r of a split, counted through its shards, is one frame; the frames of a video follow each
other, and the videos come in the order of the index.
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdmf_jax.errors import DataError

PREPARED = "prepared.json"
FAILED = "failed.csv"
COLUMNS = ("id", "class", "frames", "width", "height", "seconds")


def prepared_splits(summary: Mapping[str, Any]) -> dict[str, dict]:
    """What prepared.json says of each split; version 0.1.0 called them parts."""
    return summary.get("splits") or summary.get("parts") or {}


def read_json(path: Path) -> dict:
    """A JSON object.

    Raises:
      DataError: the file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run prepare again") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); run prepare again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: is damaged (no JSON object); run prepare again")
    return value


def write_json(path: Path, value: dict) -> None:
    """Writes a JSON object, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


def write_failed(path: Path, failures: list[tuple[str, str]]) -> None:
    """Writes failed.csv: a heading, then path and reason of each failure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(failures)
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
      DataError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); make room") from error
    finally:
        temporary.unlink(missing_ok=True)
