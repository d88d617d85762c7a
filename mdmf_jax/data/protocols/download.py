"""Download a small public file whose size and SHA-256 are known."""

import time

from mdmf_jax import files, web
from mdmf_jax.errors import DataError

DEADLINE = 300.0  # seconds for one file
_CHUNK = 2**16


def download(
    address: str, size: int, sha256: str, timeout: float = web.TIMEOUT, deadline: float = DEADLINE
) -> bytes:
    """The content of a file.

    Args:
      size: its size in bytes; nothing beyond is read.
      timeout: seconds without an answer after which it fails.
      deadline: seconds after which it fails in any case.

    Raises:
      DataError: it cannot be reached, is redirected to a place that is not allowed, or is not
        the file that was expected.
    """
    advice = "try again, or give another --address"
    with web.answer(address, DataError, advice=advice, timeout=timeout) as answer:
        content = _read(answer, size, time.monotonic() + deadline, address)
    if len(content) != size:
        raise DataError(
            f"{address}: has {len(content)} bytes instead of {size}; it was cut short or is"
            " another file"
        )
    found = files.sha256(content)
    if found != sha256:
        raise DataError(f"{address}: has SHA-256 {found} instead of {sha256}; it is another file")
    return content


def _read(answer, size: int, until: float, address: str) -> bytes:
    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        if len(content) > size:
            raise DataError(f"{address}: is larger than the {size} bytes of the known file")
        if time.monotonic() > until:
            raise DataError(f"{address}: takes too long; try again")
    return bytes(content)
