"""What the videos of a split hold, as checksums; files that did not change are not read again."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.data.local_copies import local_copies
from mdmf_jax.data.prepare.index import PREPARED, prepared_splits, read_json
from mdmf_jax.data.videos.source_frames import image_names
from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.features.store import UNWRITABLE

# A file changed less than this long ago could change again without its time showing it.
_SETTLED_NS = 2_000_000_000


class ContentTable:
    """SHA-256 of files, kept in a JSON file with the files' sizes and times.

    A damaged table is the same as none.
    """

    def __init__(self, path: files.AnyPath):
        self._path = path
        self._known = _read(path)
        self._seen: dict[str, list] = {}

    def checksum(self, file: Path) -> str:
        """SHA-256 of the file, from the table if its size and time are those of the table.

        Raises:
          DataError: the file cannot be read.
        """
        name = os.path.abspath(file)
        try:
            stat = os.stat(file)
            stamp = [stat.st_size, stat.st_mtime_ns]
            known = self._known.get(name)
            if isinstance(known, list) and known[:2] == stamp and len(known) == 3:
                found = known[2]
            else:
                found = files.sha256_of(file, DataError)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error
        if time.time_ns() - stat.st_mtime_ns > _SETTLED_NS:
            self._seen[name] = [*stamp, found]
        return found

    def save(self) -> None:
        """Writes what is new; another process may do so at the same time.

        Raises:
          DataError: it cannot be written.
        """
        if all(self._known.get(name) == entry for name, entry in self._seen.items()):
            return
        files.write_json(self._path, self._known | self._seen, DataError, UNWRITABLE)


def video_contents(
    source: VideoSource, root: str | Path, table: ContentTable, workers: int
) -> list[str]:
    """A checksum of what each video of a split holds, [V].

    Prepared data have one checksum for all videos of the split.

    Raises:
      DataError: a file cannot be read.
    """
    count = len(source)
    if count and not os.path.exists(source.describe(0)):
        return [_joined(_prepared_files(files.path(root), source.split.name), table)] * count
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(partial(_video, source, table), range(count)))


def _video(source: VideoSource, table: ContentTable, item: int) -> str:
    path = Path(source.describe(item))
    if path.is_dir():
        return _joined([path / name for name in image_names(path)], table)
    return table.checksum(path)


def _joined(contents: list[Path], table: ContentTable) -> str:
    return files.sha256(f"{table.checksum(file)} {file.name}\n".encode() for file in contents)


def _prepared_files(root: files.AnyPath, split: str) -> list[Path]:
    shards = prepared_splits(read_json(root / PREPARED))[split]["shards"]
    return local_copies([root / f"{split}.index.json", *(root / file for file, _ in shards)])


def _read(path: files.AnyPath) -> dict[str, list]:
    try:
        return files.read_json(path, DataError)
    except DataError:
        return {}
