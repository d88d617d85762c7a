"""Results as files that appear whole or not at all."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.provenance import write_text


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file whole or not at all.

    Raises:
      DataError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_file(path, text.getvalue())


def write_file(path: str | Path, content: str) -> None:
    """Writes a text file whole or not at all.

    Raises:
      DataError: it cannot be written.
    """
    try:
        write_text(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
      DataError: it cannot be written.
    """
    write_file(path, json.dumps(content, indent=2) + "\n")
