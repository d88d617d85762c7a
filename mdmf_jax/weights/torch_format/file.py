"""Reads `.pt` and `.pth` files without PyTorch, and without running the pickle inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format import legacy as torch_legacy
from mdmf_jax.weights.torch_format import zip as torch_zip
from mdmf_jax.weights.torch_format.legacy import LegacyFormat
from mdmf_jax.weights.torch_format.objects import ScriptObject, StorageRef, TensorRef
from mdmf_jax.weights.torch_format.zip import ZipFormat

# Where training programs put the state dict: CLIP-MDMF, CLIP-FSAR, open_clip,
# Task-Adapter++ and others.
WRAPPERS = ("model_state_dict", "model_state", "state_dict", "state")

MAX_DEPTH = 100  # of containers in each other
MAX_MODULES = 10_000
MAX_NAME = 500


def read_torch_file(path: str | Path) -> Any:
    """Everything in a file that `torch.save` or `torch.jit.save` wrote.

    Args:
      path: file in the zip format (PyTorch 1.6 and later, TorchScript) or the older one.

    Returns:
      Python's plain types. Tensors are read-only NumPy arrays, bfloat16 as float32; tensors
      that share memory in the file share it here. A TorchScript module is the dict of its
      attributes. A device is its name.

    Raises:
      WeightsError: the file is missing or damaged, or holds other things than numbers, texts,
          tensors and containers of these. No code of the file is ever run.
    """
    with _open(Path(path)) as file:
        return _Builder(file, str(path)).build(file.content)


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict in a `.pt` or `.pth` file: tensor name -> array.

    It may be the whole file, lie under one of the names in `WRAPPERS`, or be a TorchScript
    archive, whose names are those of PyTorch's `state_dict()`. Only its own tensors are read:
    an optimizer's state beside it takes no time or memory.

    Raises:
      WeightsError: as `read_torch_file`, or there is no state dict.
    """
    with _open(Path(path)) as file:
        builder = _Builder(file, str(path))
        named = _named(file.content, str(path))
        return {name: builder.tensor(tensor) for name, tensor in named.items()}


@contextmanager
def _open(path: Path) -> Iterator[ZipFormat | LegacyFormat]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        start = file.read(4)
        if start == torch_zip.MAGIC:
            yield ZipFormat(file, origin=str(path))
        elif start.startswith(torch_legacy.MAGIC):
            yield LegacyFormat(file, origin=str(path))
        else:
            raise WeightsError(f"{path}: not a file of PyTorch (it begins with {start!r})")


class _Builder:
    """Makes arrays of tensors; each storage is read once."""

    def __init__(self, file: ZipFormat | LegacyFormat, origin: str):
        self._file, self._origin = file, origin
        self._storages: dict[str, np.ndarray] = {}
        self._made: dict[int, Any] = {}  # by id; a container may appear in several places

    def tensor(self, ref: TensorRef) -> np.ndarray:
        """The array of a tensor."""
        numbers = self._numbers(ref.storage)
        if 0 in ref.shape:
            return np.empty(ref.shape, numbers.dtype)
        strides = [step * numbers.itemsize for step in ref.strides]
        return as_strided(numbers[ref.offset :], ref.shape, strides, writeable=False)

    def build(self, content: Any, depth: int = 0) -> Any:
        """`content` with arrays for tensors and dicts for modules."""
        if depth > MAX_DEPTH:
            raise WeightsError(f"{self._origin}: more than {MAX_DEPTH} containers in each other")
        if id(content) in self._made:
            return self._made[id(content)]
        if isinstance(content, ScriptObject):
            made = self._dict(content, content.attributes, depth)
        elif type(content) is dict:
            made = self._dict(content, content, depth)
        elif type(content) is list:
            made = self._made[id(content)] = []
            made.extend(self.build(item, depth + 1) for item in content)
        elif type(content) is tuple:
            made = tuple(self.build(item, depth + 1) for item in content)
        elif isinstance(content, TensorRef):
            made = self.tensor(content)
        elif type(content) in (str, bytes, int, float, bool, set, type(None)):
            return content
        else:
            raise WeightsError(f"{self._origin}: holds a {type(content).__name__} outside a tensor")
        self._made[id(content)] = made
        return made

    def _dict(self, content: Any, items: dict, depth: int) -> dict:
        # Known before it is filled, because it may contain itself.
        made = self._made[id(content)] = {}
        for key, value in items.items():
            made[key] = self.build(value, depth + 1)
        return made

    def _numbers(self, storage: StorageRef) -> np.ndarray:
        """All numbers of a storage, one after another."""
        if storage.key not in self._storages:
            data = self._file.read(storage)
            if len(data) < storage.size:
                raise WeightsError(
                    f"{self._origin}: damaged (storage {storage.key[:20]!r} has {len(data)} "
                    f"bytes, its tensors need {storage.size})"
                )
            self._storages[storage.key] = _decode(data, storage, self._file.big_endian)
        return self._storages[storage.key]


def _decode(data: bytes, storage: StorageRef, big_endian: bool) -> np.ndarray:
    kind = {"bfloat16": "uint16", "bool": "uint8"}.get(storage.dtype, storage.dtype)
    order = np.dtype(kind).newbyteorder(">" if big_endian else "<")
    numbers = np.frombuffer(data[: storage.size], order).astype(kind, copy=False)
    if storage.dtype == "bool":
        return numbers != 0
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


def _named(content: Any, origin: str) -> dict[str, TensorRef]:
    """The tensors of a state dict by name."""
    if isinstance(content, ScriptObject):
        named = _collect(content, origin)
    else:
        named = _unwrapped(content, origin)
    if not named:
        raise WeightsError(f"{origin}: holds no tensors by name")
    for name, tensor in named.items():
        if type(name) is not str or len(name) > MAX_NAME or not name.isprintable():
            raise WeightsError(f"{origin}: {str(name)[:60]!r} is not a name of a tensor")
        if not isinstance(tensor, TensorRef):
            raise WeightsError(
                f"{origin}: {name!r} is not a tensor but a {type(tensor).__name__}; expected a "
                f"state dict, alone or under {', '.join(WRAPPERS)}"
            )
    return named


def _unwrapped(content: Any, origin: str) -> dict:
    for name in WRAPPERS:
        if type(content) is dict and type(content.get(name)) is dict:
            return content[name]
    if type(content) is not dict:
        raise WeightsError(f"{origin}: holds a {type(content).__name__}, expected a state dict")
    return content


def _collect(module: ScriptObject, origin: str) -> dict[str, TensorRef]:
    """The tensors of a module and of the modules in it, by dotted name."""
    named: dict[str, TensorRef] = {}
    waiting = [("", module)]
    for _ in range(MAX_MODULES):  # modules may contain themselves
        if not waiting:
            return named
        prefix, module = waiting.pop()
        for name, value in module.attributes.items():
            full = f"{prefix}{name}"[: MAX_NAME + 1]
            if isinstance(value, TensorRef):
                named[full] = value
            elif isinstance(value, ScriptObject):
                waiting.append((f"{full}.", value))
    raise WeightsError(f"{origin}: more than {MAX_MODULES:,} modules")
