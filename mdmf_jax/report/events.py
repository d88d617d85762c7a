"""Reads the numbers that a training run wrote by step."""

import struct
from collections.abc import Iterator
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import DataError
from mdmf_jax.training.scalars import METRICS, TENSORBOARD, read_metrics

_HEADER, _CHECKSUM = struct.calcsize("<QI"), 4
_LONGEST = 2**20  # bytes of a record; a number takes fewer than a hundred

Curve = list[tuple[int, float]]


def read_curves(run: files.AnyPath) -> dict[str, Curve]:
    """Numbers by name ("train/loss"), each as (step, value) in ascending steps.

    They come from the run's metrics.jsonl. What lies before its first line, or all if there is
    none, an older version of this package wrote: for TensorBoard only.

    Args:
      run: the work folder; nothing is found in one that does not exist.

    Raises:
      DataError: metrics.jsonl cannot be read.
    """
    curves: dict[str, dict[int, float]] = {}
    lines = _lines(files.path(run) / METRICS)
    before = lines[0]["step"] if lines else float("inf")
    for name, points in read_scalars(files.path(run) / TENSORBOARD).items():
        curves[name] = {step: value for step, value in points if step < before}
    for line in lines:
        for name, value in line["metrics"].items():
            value = float("nan") if value is None else float(value)
            curves.setdefault(f"{line['kind']}/{name}", {})[line["step"]] = value
    return {name: list(points.items()) for name, points in curves.items() if points}


def _lines(file: files.AnyPath) -> list[dict[str, Any]]:
    """Lines of a metrics.jsonl in ascending steps; none of one that does not exist."""
    with files.one_line(file, "read", DataError):
        found = list(read_metrics(file)) if file.exists() else []
    return sorted(found, key=lambda line: line["step"])


def read_scalars(folder: files.AnyPath) -> dict[str, Curve]:
    """The same from TensorBoard's files.

    Where a run was stopped and went on, the later file counts for the steps in both. A file
    that ends in the middle of a record, as that of a running training may, counts up to there.

    Args:
      folder: that of the event files; nothing is found in one that does not exist.
    """
    curves: dict[str, dict[int, float]] = {}
    for file in sorted(files.path(folder).glob("events.out.tfevents.*")):
        for name, step, value in _numbers(file):
            curves.setdefault(name, {})[step] = value
    return {name: sorted(points.items()) for name, points in curves.items()}


def _numbers(file: files.AnyPath) -> Iterator[tuple[str, int, float]]:
    # Imported here: it takes a moment, and only reports of runs need it.
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore # made by protoc, untyped

    for record in _records(file):
        try:
            event = Event.FromString(record)
        except DecodeError:
            return  # what follows a damaged record cannot be trusted
        for value in event.summary.value:
            yield value.tag, event.step, value.simple_value


def _records(file: files.AnyPath) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, bytes, their checksum."""
    with file.open("rb") as stream:
        while len(header := stream.read(_HEADER)) == _HEADER:
            length, _ = struct.unpack("<QI", header)
            if length > _LONGEST:
                return
            record = stream.read(length)
            if len(record) < length or len(stream.read(_CHECKSUM)) < _CHECKSUM:
                return
            yield record
