"""Numbers of a run by step: metrics.jsonl for programs, and TensorBoard's files."""

import errno
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import UserError

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
_SECONDS = 30.0  # between two writes of a file on gs://


class ScalarWriter:
    """Writes numbers by step into a work folder; with folder None it writes nothing.

    Args:
      folder: the work folder.
      start: step that the run goes on from.

    Raises:
      UserError: metrics.jsonl cannot be written.
    """

    def __init__(self, folder: files.AnyPath | None, start: int = 0):
        self._writer = None
        if folder is None:
            return
        # Imported here: it takes a moment, and evaluation alone does not need it.
        from tensorboardX import SummaryWriter, record_writer

        if files.is_cloud(folder):
            # tensorboardX's own way to gs:// finds its credentials elsewhere.
            record_writer.register_writer_factory("gs", _CloudEvents())
        self._writer = SummaryWriter(str(folder / TENSORBOARD))
        self._lines = MetricsFile(folder / METRICS, start)

    def write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Writes each value: "group/name" for TensorBoard, one line for all in metrics.jsonl."""
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)
        self._lines.write(group, step, values)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writer is not None:
            self._writer.close()
            self._lines.close()


class MetricsFile:
    """One JSON object a line: step, kind ("train" or "validation"), time and metrics by name.

    Lines of steps after `start`, which an interrupted run left, are dropped, so that the file
    tells one history. A line is handed to the system whole, so that a killed run leaves whole
    lines. A number that is not finite is null.

    Raises:
      UserError: the file cannot be written.
    """

    def __init__(self, path: files.AnyPath, start: int):
        self._path = path
        with _named(path):
            if files.is_cloud(path):
                self._stream = CloudStream(path, _kept_content(path, start))
                return
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
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"step": step, "kind": kind, "time": now, "metrics": metrics}
        content = json.dumps(line).encode() + b"\n"
        with _named(self._path):
            if self._stream.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()


class CloudStream:
    """A file on gs:// that grows. An object cannot grow, so that all of it is written anew.

    That happens every half a minute at most, and at the end: a killed run loses so much.
    """

    def __init__(self, name: files.Name, content: bytes = b""):
        self._name, self._content, self._written = name, bytearray(content), time.monotonic()

    def write(self, data: bytes) -> int:
        """Appends; returns the number of bytes."""
        self._content += data
        if time.monotonic() - self._written >= _SECONDS:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Writes all that was appended."""
        files.write_whole(self._name, bytes(self._content))
        self._written = time.monotonic()

    close = flush


class _CloudEvents:
    """Gives tensorboardX its files on gs://."""

    def open(self, path: str) -> CloudStream:
        return CloudStream(path)

    def directory_check(self, path: str) -> None:
        """There are no folders to be made."""


def _kept_content(path: files.AnyPath, start: int) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content[: _kept(content, start)]


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


@contextmanager
def _named(path: files.AnyPath) -> Iterator[None]:
    """Says which file could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{path}: cannot be written ({reason}); make room or mend the folder and start again"
        ) from error
