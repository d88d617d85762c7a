"""Fetch a large public file whose size and SHA-256 are known; goes on where it stopped.

What has come so far lies beside the file under the name FILE.part. It gets its own name when its
SHA-256 is right. Only one process at a time writes it.
"""

import contextlib
import fcntl
import http.client
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mdmf_jax import files, web
from mdmf_jax.errors import WeightsError

Say = Callable[[str], None]
ATTEMPTS = 5  # that bring nothing new, one after the other
PAUSE = 2.0  # seconds before the next one
_CHUNK = 2**20
_TRUE = ("1", "on", "yes", "true")


def to_stderr(text: str) -> None:
    """Prints what people should know while they wait."""
    print(text, file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """A size in words, such as "350.8 MB" (millions of bytes)."""
    return f"{size / 1e6:,.1f} MB"


def is_offline() -> bool:
    """Whether the user forbids downloads, by the hub's own variables."""
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return given.lower() in _TRUE


def part_of(place: Path) -> Path:
    """Where a file lies while it is not whole."""
    return place.with_name(f"{place.name}.part")


def fetch_file(address: str, place: Path, *, sha256: str, size: int, advice: str) -> None:
    """Downloads a file whole or not at all, and does nothing where another process brought it.

    Args:
      place: where it is put; its folder is made.
      advice: what to do where the server cannot be reached.

    Raises:
      WeightsError: the address is not allowed or cannot be reached, or the file is not the
        expected one, or cannot be written.
    """
    web.check_address(address, WeightsError)
    part = part_of(place)
    with files.one_line(place, "written", WeightsError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            if place.is_file() and place.stat().st_size == size:
                return
            with part.open("ab") as file:
                _fill(file, address, size, place.name, advice)
            _check(part, address, sha256)
            files.put_in_place(part, place)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Waits until no other process fetches the file."""
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(file: BinaryIO, address: str, size: int, name: str, advice: str) -> None:
    """Fetches what is missing, in several attempts if the connection breaks."""
    if file.tell() > size:
        _empty(file)
    failed = 0
    with _progress(name, size) as show:
        while file.tell() < size:
            before = file.tell()
            _go_on(file, address, size, advice, show)
            failed = failed + 1 if file.tell() <= before else 0
            if failed == ATTEMPTS:
                raise WeightsError(
                    f"{address}: breaks off after {file.tell()} of {size} bytes; call again to go "
                    f"on from there, or {advice}"
                )
            if file.tell() < size:
                time.sleep(PAUSE)


def _go_on(
    file: BinaryIO, address: str, size: int, advice: str, show: Callable[[int], None]
) -> None:
    """Asks for the bytes that are missing, and adds what comes until it ends or breaks."""
    have = file.tell()
    headers = {"Range": f"bytes={have}-"} if have else None
    with web.answer(address, WeightsError, advice=advice, headers=headers) as answer:
        if not _goes_on(answer, have):
            _empty(file)  # the server sends all of it again
        _check_size(answer, file.tell(), size, address)
        while chunk := _next(answer):
            if file.tell() + len(chunk) > size:
                raise WeightsError(f"{address}: is larger than the {size} bytes of the known file")
            with files.one_line(file.name, "written", WeightsError):
                file.write(chunk)
                file.flush()
            show(file.tell())


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _next(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes; none at the end, and where the connection breaks."""
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException):
        return b""


def _goes_on(answer: http.client.HTTPResponse, have: int) -> bool:
    """Whether the server sends the bytes from `have` on."""
    sent = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return answer.status == 206 and sent is not None and int(sent[1]) == have


def _check_size(answer: http.client.HTTPResponse, have: int, size: int, address: str) -> None:
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and have + int(length) != size:
        raise WeightsError(
            f"{address}: has {have + int(length)} bytes instead of {size}; it is another file"
        )


def _check(part: Path, address: str, sha256: str) -> None:
    found = files.sha256_of(part, WeightsError)
    if found != sha256:
        part.unlink()
        raise WeightsError(
            f"{address}: has SHA-256 {found} instead of {sha256}; it is another file or was "
            "damaged on its way, and was deleted; try again"
        )


@contextlib.contextmanager
def _progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with the rate and the time left, where stderr is a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(name, total=size)
        yield lambda have: shown.update(task, completed=have)
