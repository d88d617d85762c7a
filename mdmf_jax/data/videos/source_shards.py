"""Videos in a folder that `prepare` wrote: only the JPEG images of the wanted frames are read.

Needs array_record, but neither TensorFlow nor TensorFlow Datasets nor PyAV.
"""

import bisect
import io
import threading
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.data.local_copies import local_copies
from mdmf_jax.data.prepare.index import COLUMNS, PREPARED, prepared_splits, read_json
from mdmf_jax.data.prepare.plan import FORMAT
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.videos.example import bytes_feature
from mdmf_jax.data.videos.source_frames import check_indices, read_image
from mdmf_jax.errors import ConfigError, DataError


class Shards:
    """The videos of a split of a prepared data set; see `mdmf_jax.data.videos.sources.VideoSource`.

    Attributes:
      split: from the prepared data set; its `videos` are ids.
      seconds: duration of each video, [V]; 0 where unknown.

    Raises:
      DataError: the folder is not a prepared data set, has no such split, or is damaged.
    """

    def __init__(self, directory: files.Name, split: str) -> None:
        self._directory = files.path(directory)
        summary = read_json(self._directory / PREPARED)
        if summary.get("format") != FORMAT:
            raise DataError(
                f"{self._directory}: has format {summary.get('format')}, this version reads"
                f" {FORMAT}; run prepare again"
            )
        described = prepared_splits(summary).get(split)
        if described is None:
            raise DataError(
                f"{self._directory}: has no split {split!r}; prepare it with that split"
            )
        index = read_json(self._directory / f"{split}.index.json")
        _check(self._directory, split, described, index)
        self._ids, self._frames = index["id"], index["frames"]
        self.seconds = np.array(index["seconds"])
        self.split, self._classes = _split(split, described, index)
        self._first = [0, *accumulate(self._frames)]  # record of the first frame of each video
        shards = local_copies([self._directory / file for file, _ in described["shards"]])
        self._shards = _ShardFiles(shards, [records for _, records in described["shards"]])

    def __len__(self) -> int:
        return len(self._ids)

    def class_of(self, item: int) -> int:
        return int(self._classes[item])

    def describe(self, item: int) -> str:
        return f"{self._directory}: {self._ids[item]}"

    def num_frames(self, item: int) -> int:
        return self._frames[item]

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = [int(index) for index in indices]
        check_indices(self.describe(item), wanted, self._frames[item])
        images = {index: self._image(item, index) for index in sorted(set(wanted))}
        return np.stack([images[index] for index in wanted])

    def all_frames(self, item: int) -> np.ndarray:
        return np.stack([self._image(item, index) for index in range(self._frames[item])])

    def _image(self, item: int, index: int) -> np.ndarray:
        record = self._shards.read(self._first[item] + index)
        try:
            return read_image(io.BytesIO(bytes_feature(record, b"jpeg")))
        except ValueError as error:
            raise DataError(
                f"{self.describe(item)}: frame {index} is damaged; run prepare again"
            ) from error


def _check(directory: files.AnyPath, split: str, described: dict, index: dict) -> None:
    lengths = {len(index.get(column, ())) for column in COLUMNS}
    records = sum(records for _, records in described["shards"])
    if lengths != {described["videos"]} or sum(index["frames"]) != records:
        raise DataError(
            f"{directory / split}.index.json: does not fit {PREPARED}; run prepare again"
        )


def _split(split: str, described: dict, index: dict) -> tuple[Split, np.ndarray]:
    """The split without classes of which no video is left, and the class of each video [V]."""
    classes = np.array(index["class"], np.int64)
    kept, classes = np.unique(classes, return_inverse=True)
    videos = tuple(
        tuple(id_ for id_, number in zip(index["id"], classes, strict=True) if number == class_)
        for class_ in range(len(kept))
    )
    columns = (tuple(described[key][i] for i in kept) for key in ("folders", "names", "prompts"))
    folders, names, prompts = columns
    return Split(split, folders, names, videos, prompts), classes


class _ShardFiles:
    """The records of several files, numbered through; files are opened when first needed."""

    def __init__(self, shards: list[Path], records: list[int]) -> None:
        self._files = shards
        self._ends = list(accumulate(records))
        self._readers: dict[int, Any] = {}
        self._lock = threading.Lock()

    def read(self, number: int) -> bytes:
        shard = bisect.bisect_right(self._ends, number)
        position = number - (self._ends[shard - 1] if shard else 0)
        try:
            return self._reader(shard).read([position])[0]
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            if isinstance(error, ConfigError | DataError):
                raise
            raise DataError(
                f"{self._files[shard]}: record {position} cannot be read; run prepare again"
            ) from error

    def _reader(self, shard: int):
        reader = self._readers.get(shard)
        if reader is None:
            with self._lock:
                if shard not in self._readers:
                    self._readers[shard] = _open(self._files[shard])
                reader = self._readers[shard]
        return reader


def _open(path: Path):
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError as error:
        raise ConfigError(
            "prepared data need array_record, which cannot be imported; install array-record"
        ) from error
    if not path.is_file():
        raise DataError(f"{path}: no such file; run prepare again")
    # Reading ahead would read the frames between those that are wanted.
    options = "readahead_buffer_size:0"
    return ArrayRecordReader(str(path), options=options, file_reader_buffer_size=32768)
