"""Tables of results as CSV files."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import DataError


def write_csv(path: files.Name, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file whole or not at all.

    Raises:
      DataError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    files.write_whole(path, text.getvalue(), DataError)
