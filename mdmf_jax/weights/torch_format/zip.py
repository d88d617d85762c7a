"""The zip format of PyTorch (since 1.6), and TorchScript archives, which share it.

Members lie in one folder: data.pkl (the pickle), data/<key> (one storage each) and byteorder.
They are not compressed, and no name in the archive ever becomes the name of a file.
"""

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.objects import StorageRef
from mdmf_jax.weights.torch_format.pickle import read_pickle

MAGIC = b"PK\x03\x04"
MAX_PICKLE = 2**26  # bytes
MAX_DIRECTORY = 2**24  # bytes; some 200,000 members

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
# What `zipfile` raises for damaged archives.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class ZipFormat:
    """An open file of PyTorch's zip format.

    Attributes:
      content: what the file holds; see `read_pickle`.
      big_endian: byte order of the storages.

    Raises:
      WeightsError: the archive is damaged, was not written by PyTorch, or holds other things
          than weights.
    """

    def __init__(self, file: BinaryIO, *, origin: str):
        self._origin = origin
        with _damage(origin):
            _check_directory(file)
            self._size = file.seek(0, io.SEEK_END)
            self._archive = zipfile.ZipFile(file)
            self._folder = _folder(self._archive, self._size)
            self._members = {info.filename: info for info in self._archive.infolist()}
            order = self._read("byteorder", 16) if self._has("byteorder") else b"little"
            if order not in (b"little", b"big"):
                raise ValueError("unknown byte order")
            pickle = self._read("data.pkl", MAX_PICKLE)
        self.big_endian = order == b"big"
        # constants.pkl is what TorchScript's archives have and others have not.
        script = self._has("constants.pkl")
        self.content, _ = read_pickle(io.BytesIO(pickle), origin=origin, script=script)

    def read(self, storage: StorageRef) -> bytes:
        """The bytes of a storage.

        Raises:
          WeightsError: they are missing or damaged (their checksum is wrong).
        """
        with _damage(self._origin):
            return self._read(f"data/{storage.key}", self._size)

    def _has(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._members

    def _read(self, name: str, most: int) -> bytes:
        if not self._has(name):
            raise ValueError(f"member {name!r} is missing")
        info = self._members[f"{self._folder}/{name}"]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"member {name!r} is compressed, which PyTorch never does")
        if info.file_size > min(most, self._size):
            raise ValueError(f"member {name!r} is said to have {info.file_size:,} bytes")
        return self._archive.read(info)


@contextmanager
def _damage(origin: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(
            f"{origin}: damaged, or a zip archive that is not of PyTorch ({reason})"
        ) from error


def _check_directory(file: BinaryIO) -> None:
    """Refuses a list of members so long that reading it would fill the memory."""
    end = file.seek(0, io.SEEK_END) - _END.size
    fields = _unpack_at(file, end, _END)
    if fields[0] != b"PK\x05\x06" or fields[-1]:
        raise ValueError("its end is missing")
    sizes = [] if fields[5] == 0xFFFFFFFF else [fields[5]]
    place = end - _LOCATOR.size
    if place >= 0:
        mark, _, found, _ = _unpack_at(file, place, _LOCATOR)
        if mark == b"PK\x06\x07":
            if found != place - _END64.size:
                raise ValueError("its end is not of PyTorch's form")
            sizes.append(_unpack_at(file, found, _END64)[8])
    if not sizes or max(sizes) > MAX_DIRECTORY:
        raise ValueError("its list of members is too long")


def _unpack_at(file: BinaryIO, place: int, form: struct.Struct) -> tuple:
    if place < 0:
        raise ValueError("too short")
    file.seek(place)
    return form.unpack(file.read(form.size))


def _folder(archive: zipfile.ZipFile, size: int) -> str:
    """Name of the one folder that holds everything."""
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise ValueError("two members have the same name")
    stored = (i.file_size for i in archive.infolist() if i.compress_type == zipfile.ZIP_STORED)
    if sum(stored) > size:
        raise ValueError("its members are said to be larger than the file")
    folders = {name.partition("/")[0] for name in names}
    if len(folders) != 1 or f"{min(folders)}/data.pkl" not in names:
        raise ValueError("it has no data.pkl")
    return folders.pop()
