"""What a pickle of PyTorch may be made of: the few names that are recognised, and their meaning.

Nothing is imported by name. A name of the pickle is looked up in the table `GLOBALS`; what is
not in it is refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_AXES = 32
MAX_ELEMENTS = 2**40
MAX_NAME = 200
# Of an integer that is a key. Larger ones could be chosen to have the same hash.
MAX_KEY = 2**60

# PyTorch's storage classes: name of the numbers as NumPy has it, and their size in bytes.
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
ITEM_SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


@dataclass(frozen=True)
class StorageType:
    """A storage class: the type of its numbers."""

    dtype: str


@dataclass(frozen=True)
class StorageRef:
    """`count` numbers that lie elsewhere in the file under `key`."""

    key: str
    dtype: str
    count: int

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.count * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor: a view of a storage. Offset and strides are in numbers, not in bytes."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class ScriptType:
    """A class that a TorchScript archive defines; only its name is known here."""

    name: str


@dataclass(eq=False)
class ScriptObject:
    """A module of a TorchScript archive: its attributes, among them tensors and modules."""

    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A recognised function: takes the tuple of its arguments."""

    call: Callable[[tuple], Any]


class Refused(ValueError):
    """Part of a pickle is not what PyTorch writes. The message does not name the file."""


class UnknownName(Refused):
    """A pickle refers to a function or class that weights do not need."""


def lookup(module: str, name: str, script: bool) -> Any:
    """The meaning of a global name of a pickle.

    Args:
      script: the pickle belongs to a TorchScript archive, which defines classes of its own.

    Raises:
      UnknownName: the name is not recognised.
    """
    if script and module.split(".")[0] == "__torch__":
        return ScriptType(f"{module}.{name}")
    if (module, name) not in GLOBALS:
        full = f"{module}.{name}"
        raise UnknownName(
            f"refers to {full[:MAX_NAME]!r}, which weights do not need, so it is not read and "
            "nothing of it was run; take a file that holds the state dict alone"
        )
    return GLOBALS[module, name]


def storage(reference: Any) -> StorageRef:
    """The storage that a persistent id stands for.

    Raises:
      Refused: it is not of the form ("storage", type, key, device, count).
    """
    if type(reference) is not tuple or len(reference) not in (5, 6) or reference[0] != "storage":
        raise Refused("a reference to something that is not a storage")
    kind, key, count = reference[1], reference[2], reference[4]
    if not isinstance(kind, StorageType) or type(key) is not str or not _is_size(count):
        raise Refused("a reference to a storage that is not of PyTorch's form")
    if reference[5:] not in ((), (None,)):
        raise Refused("a view of a storage, as versions of PyTorch before 0.4 wrote them")
    return StorageRef(key, kind.dtype, count)


def check_key(key: Any) -> Any:
    """`key` itself, if it may be a key of a dict or an item of a set.

    Raises:
      Refused: it is neither a text nor a number of usual size. (Hashing nested tuples may
          take exponential time.)
    """
    if type(key) is str or (type(key) in (int, bool) and abs(key) < MAX_KEY):
        return key
    raise Refused(f"a key of type {type(key).__name__}")


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number <= MAX_ELEMENTS


def _rebuild_tensor(arguments: tuple) -> TensorRef:
    """storage, offset, shape, strides, requires_grad, hooks[, metadata]."""
    if len(arguments) not in (6, 7) or not isinstance(arguments[0], StorageRef):
        raise Refused("a tensor that is not of PyTorch's form")
    stored, offset, shape, strides = arguments[:4]
    for sizes in (shape, strides):
        if type(sizes) is not tuple or not all(map(_is_size, sizes)):
            raise Refused("a tensor whose shape or strides are not numbers")
    if len(shape) != len(strides) or len(shape) > MAX_AXES or not _is_size(offset):
        raise Refused("a tensor whose shape, strides and offset do not fit each other")
    elements = math.prod(max(size, 1) for size in shape)
    if 0 in shape:
        fits = elements <= MAX_ELEMENTS
    else:
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        fits = last < stored.count and elements <= stored.count
    if not fits:
        raise Refused(f"a tensor of shape {shape} that reaches beyond its storage")
    return TensorRef(stored, offset, shape, strides)


def _rebuild_parameter(arguments: tuple) -> TensorRef:
    """tensor, requires_grad, hooks."""
    if len(arguments) != 3 or not isinstance(arguments[0], TensorRef):
        raise Refused("a parameter that is not of PyTorch's form")
    return arguments[0]


def _ordered_dict(arguments: tuple) -> dict:
    if arguments:
        raise Refused("an OrderedDict that is not of the form that Python 3 writes")
    return {}


def _only(kind: type) -> Function:
    """A function of one argument of the type `kind`, which it returns."""

    def call(arguments: tuple) -> Any:
        # The argument itself, not a copy: copies of copies would take any amount of memory.
        if len(arguments) != 1 or type(arguments[0]) is not kind:
            raise Refused(f"an object that was not made from a {kind.__name__}")
        return arguments[0]

    return Function(call)


def _set(arguments: tuple) -> set:
    items = _only(list).call(arguments)
    made = {check_key(item) for item in items}
    items.clear()  # so that a second set made from the same list costs nothing
    return made


def _device(arguments: tuple) -> str:
    if len(arguments) not in (1, 2) or type(arguments[0]) is not str:
        raise Refused("a device that is not of PyTorch's form")
    if not all(map(_is_size, arguments[1:])):
        raise Refused("a device that is not of PyTorch's form")
    return ":".join(map(str, arguments))


def _typed(arguments: tuple) -> Any:
    """value, name of its type."""
    if len(arguments) != 2:
        raise Refused("a typed value that is not of TorchScript's form")
    return arguments[0]


GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Function(_ordered_dict),
    ("collections", "Counter"): _only(dict),  # milestones of learning rate schedules
    ("__builtin__", "set"): Function(_set),
    ("builtins", "set"): Function(_set),
    ("torch", "Size"): _only(tuple),
    ("torch", "device"): Function(_device),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_rebuild_parameter),
    ("torch.jit._pickle", "build_intlist"): _only(list),
    ("torch.jit._pickle", "build_doublelist"): _only(list),
    ("torch.jit._pickle", "build_boollist"): _only(list),
    ("torch.jit._pickle", "build_tensorlist"): _only(list),
    ("torch.jit._pickle", "restore_type_tag"): Function(_typed),
    **{("torch", name): StorageType(dtype) for name, dtype in STORAGES.items()},
    ("torch.storage", "UntypedStorage"): StorageType("uint8"),
    **{("torch", dtype): dtype for dtype in ITEM_SIZES},
}
