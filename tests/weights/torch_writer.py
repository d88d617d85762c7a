"""Writes PyTorch's zip format without PyTorch, sound or not, for tests of the reader."""

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def items(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def mapping(entries: Mapping[str, bytes]) -> bytes:
    """An OrderedDict with the attribute that PyTorch's state dicts have."""
    pairs = b"".join(text(key) + value for key, value in entries.items())
    made = name("collections", "OrderedDict") + b")R(" + pairs + b"u"
    return made + b"}" + text("_metadata") + b"}sb"


def tensor(key, storage, count, offset, shape, strides) -> bytes:
    """A tensor that views the storage `key` of `count` numbers."""
    stored = items(
        text("storage"), name("torch", storage), text(key), text("cuda:0"), number(count)
    )
    arguments = items(
        stored + b"Q",
        number(offset),
        items(*map(number, shape)),
        items(*map(number, strides)),
        b"\x89",
        name("collections", "OrderedDict") + b")R",
    )
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def program(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


def write_zip(path: Path, pickled: bytes, storages: Mapping[str, bytes], **extra: bytes) -> Path:
    """A file of PyTorch's zip format; `extra` are further members."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for member, data in extra.items():
            archive.writestr(f"archive/{member}", data)
    return path


def write_state_dict(
    path: Path, arrays: Mapping[str, np.ndarray], wrapper: str | None = None
) -> Path:
    """A state dict, alone or as a checkpoint under the name `wrapper`.

    Arrays that are the same object share a storage.
    """
    keys: dict[int, str] = {}
    entries, storages = {}, {}
    for label, array in arrays.items():
        key = keys.setdefault(id(array), str(len(keys)))
        storages[key] = array
        strides = [math.prod(array.shape[i + 1 :]) for i in range(array.ndim)]
        kind = STORAGES[array.dtype.name]
        entries[label] = tensor(key, kind, array.size, 0, array.shape, strides)
    content = mapping(entries)
    if wrapper:
        content = b"}(" + text(wrapper) + content + text("iteration") + number(7) + b"u"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(content))
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(array).data.cast("B"))
    return path
