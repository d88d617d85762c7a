"""Numbers of a run by step: metrics.jsonl for programs, and TensorBoard's files."""

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mdmf_jax import files
from mdmf_jax.training.spool import ADVICE, Spool

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class ScalarWriter:
    """Writes numbers by step into a work folder; with folder None it writes nothing.

    On gs:// they arrive after each validation: a run that is killed goes on from there anyhow.

    Args:
      folder: the work folder.
      start: step that the run goes on from.

    Raises:
      UserError: metrics.jsonl cannot be written.
    """

    def __init__(self, folder: files.AnyPath | None, start: int = 0):
        self._spool = None
        if folder is None:
            return
        # Imported here: it takes a moment, and evaluation alone does not need it.
        from tensorboardX import SummaryWriter

        self._spool = Spool(folder, (METRICS,))
        self._lines = MetricsFile(self._spool.folder / METRICS, start)
        self._events = SummaryWriter(str(self._spool.folder / TENSORBOARD))

    def write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Writes each value: "group/name" for TensorBoard, one line for all in metrics.jsonl.

        Raises:
          UserError: metrics.jsonl cannot be written.
        """
        if self._spool is None:
            return
        for name, value in values.items():
            self._events.add_scalar(f"{group}/{name}", value, step)
        self._lines.write(group, step, values)
        if group == "validation":
            self._events.flush()
            self._spool.copy()

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._spool is None:
            return
        self._events.close()
        self._lines.close()
        self._spool.close()


class MetricsFile:
    """One JSON object a line: step, kind ("train" or "validation"), time and metrics by name.

    Lines of steps after `start`, which an interrupted run left, are dropped, so that the file
    tells one history. A line is handed to the system whole, so that a killed run leaves whole
    lines. A number that is not finite is null.

    Raises:
      UserError: the file cannot be written.
    """

    def __init__(self, path: Path, start: int):
        self._path = path
        with files.one_line(path, "written", advice=ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
            # In bytes and without a buffer: one call of the system for each line.
            self._stream = open(path, "ab", buffering=0)
            self._stream.truncate(_kept(path.read_bytes(), start))

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Appends a line.

        Raises:
          UserError: it cannot be written.
        """
        numbers = {name: float(value) for name, value in values.items()}
        metrics = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"step": step, "kind": kind, "time": time, "metrics": metrics}
        content = json.dumps(line).encode() + b"\n"
        with files.one_line(self._path, "written", advice=ADVICE):
            if self._stream.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()


def read_metrics(path: files.AnyPath) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl, without those that are damaged.

    Raises:
      OSError: the file cannot be read.
    """
    found = map(_parsed, path.read_bytes().split(b"\n"))
    return (line for line in found if line is not None)


def _kept(content: bytes, start: int) -> int:
    """Length of the content up to its last line of step `start` or before."""
    length = kept = 0
    for line in content.splitlines(keepends=True):
        length += len(line)
        found = _parsed(line)
        if line.endswith(b"\n") and found is not None and found["step"] <= start:
            kept = length
    return kept


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line as `MetricsFile` writes it; None if it is damaged."""
    try:
        found = json.loads(line)
        values = [found["step"], *found["metrics"].values()]
        whole = isinstance(found["kind"], str) and isinstance(found["step"], int)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    numbers = all(value is None or isinstance(value, int | float) for value in values)
    return found if whole and numbers else None
