"""Files of Cloud Storage on this machine: copied once, each checked by its checksum.

A copy lies in the cache folder under gs/bucket/name, beside a small JSON file that tells its
checksum, size and time. It is used while Cloud Storage tells the same checksum (CRC32C, which
every object has), and while its own size and time are the same; where only the time differs, its
checksum is computed anew.
"""

import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from mdmf_jax import files
from mdmf_jax.errors import DataError

_THREADS = 8
_PIECE = 2**23  # bytes read at once


def local_copy(name: files.Name) -> pathlib.Path:
    """The file itself, or where it is on gs:// its copy; see `local_copies`."""
    return local_copies([name])[0]


def local_copies(names: Sequence[files.Name]) -> list[pathlib.Path]:
    """The files themselves, or for those on gs:// their copies, in the same order.

    Says in one line on stderr what is copied.

    Raises:
      DataError: a file cannot be read or written, or is not what its checksum says.
    """
    remote = [str(name) for name in names if files.is_cloud(name)]
    if remote:
        with ThreadPoolExecutor(_THREADS) as pool:
            facts = dict(zip(remote, pool.map(_facts, remote), strict=True))
            current = pool.map(_is_current, remote, facts.values())
            missing = [name for name, good in zip(remote, current, strict=True) if not good]
            if missing:
                _copy_all(pool, {name: facts[name] for name in missing})
    return [_place(str(n)) if files.is_cloud(n) else pathlib.Path(n) for n in names]


def _copy_all(pool: ThreadPoolExecutor, facts: dict[str, tuple[str, int]]) -> None:
    begin, megabytes = time.monotonic(), sum(size for _, size in facts.values()) / 1e6
    first = next(iter(facts))
    what = first if len(facts) == 1 else f"{len(facts)} files such as {first}"
    sys.stderr.write(f"copying {what} ({megabytes:.1f} MB) to {files.cache_folder()} ...")
    sys.stderr.flush()
    try:
        list(pool.map(_copy, facts, facts.values()))
    finally:
        sys.stderr.write(f" {time.monotonic() - begin:.0f} s\n")


def _facts(name: str) -> tuple[str, int]:
    """Checksum and size that Cloud Storage tells of a file."""
    _place(name)  # refuses names that are none
    with files.one_line(name, "read", DataError):
        found = files.cloud().info(name)
    if found["type"] != "file":
        raise DataError(f"{name}: is not a file")
    return found["crc32c"], int(found["size"])


def _is_current(name: str, facts: tuple[str, int]) -> bool:
    place = _place(name)
    try:
        stat, known = place.stat(), files.read_json(_note(place), DataError)
    except (OSError, DataError):
        return False
    if (known.get("crc32c"), stat.st_size) != facts:
        return False
    if known.get("time") == stat.st_mtime_ns:
        return True
    with open(place, "rb") as file:
        if _checksum(_pieces(file)) != facts[0]:
            return False
    _write_note(place, facts[0])
    return True


def _copy(name: str, facts: tuple[str, int]) -> None:
    place, advice = _place(name), "set MDMF_CACHE to another folder"
    with files.whole_file(place, DataError, advice) as temporary, open(temporary, "wb") as copy:
        with files.one_line(name, "read", DataError), files.path(name).open("rb") as file:
            found = _checksum(_pieces(file, copy))
        if found != facts[0]:
            raise DataError(f"{name}: its copy has another checksum; start again")
    _write_note(place, facts[0])


def _pieces(file: IO[bytes], copy: IO[bytes] | None = None) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        if copy:
            copy.write(piece)
        yield piece


def _checksum(pieces: Iterator[bytes]) -> str:
    """CRC32C in base 64, as Cloud Storage writes it."""
    import base64

    import google_crc32c

    found = google_crc32c.Checksum()
    for piece in pieces:
        found.update(piece)
    return base64.b64encode(found.digest()).decode()


def _place(name: str) -> pathlib.Path:
    parts = name.removeprefix(files.CLOUD).split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise DataError(f"{name}: is not a name of a file")
    return files.cache_folder().joinpath("gs", *parts)


def _note(place: pathlib.Path) -> pathlib.Path:
    return place.with_name(f".{place.name}.copied.json")


def _write_note(place: pathlib.Path, checksum: str) -> None:
    content = {"crc32c": checksum, "time": place.stat().st_mtime_ns}
    files.write_json(_note(place), content, DataError)
