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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import DataError

PREPARED = "prepared.json"
FAILED = "failed.csv"
COLUMNS = ("id", "class", "frames", "width", "height", "seconds")


def prepared_splits(summary: Mapping[str, Any]) -> dict[str, dict]:
    """What prepared.json says of each split; version 0.1.0 called them parts."""
    return summary.get("splits") or summary.get("parts") or {}


def read_json(path: files.Name) -> dict:
    """A JSON object.

    Raises:
      DataError: the file is missing or damaged.
    """
    return files.read_json(path, DataError, "run prepare again")


def write_json(path: Path, value: dict) -> None:
    """Writes a JSON object, whole or not at all."""
    files.write_json(path, value, DataError, "make room", indent=1)


def write_failed(path: Path, failures: list[tuple[str, str]]) -> None:
    """Writes failed.csv: a heading, then path and reason of each failure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(failures)
    files.write_whole(path, text.getvalue(), DataError, "make room")
