"""Reads pickles of PyTorch without running them.

A pickle is a program for a small stack machine that may call any function. The machine here
knows the instructions that build numbers, texts, containers and tensors, and nothing else; see
`torch_objects.py` for the names it recognises.
"""

import pickletools
from mmap import mmap
from typing import Any, BinaryIO, cast

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.objects import (
    Function,
    Refused,
    ScriptObject,
    ScriptType,
    StorageRef,
    UnknownName,
    check_key,
    lookup,
    storage,
)

# A checkpoint with an optimizer has some 100,000 instructions.
MAX_INSTRUCTIONS = 1_000_000
MAX_NAME = 500

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
# Instructions that push what stands behind them.
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_CONTAINERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PASSED = {"PROTO", "FRAME"}


def read_pickle(
    stream: BinaryIO | mmap, *, origin: str, script: bool = False
) -> tuple[Any, dict[str, StorageRef]]:
    """(content, storages by key) of the pickle at the stream's position.

    The content consists of Python's plain types, `TensorRef` and `ScriptObject`. Containers may
    contain themselves.

    Args:
      stream: `read` must not allocate more than there is (`io.BytesIO` or `mmap`).
      origin: file named in errors.
      script: the pickle belongs to a TorchScript archive.

    Raises:
      WeightsError: the pickle is damaged, too long, or has something that weights do not need.
    """
    machine = _Machine(script)
    try:
        return machine.run(stream), machine.storages
    except UnknownName as error:
        raise WeightsError(f"{origin}: {error}") from None
    except Refused as error:
        raise WeightsError(f"{origin}: holds {error}; it is damaged or not of PyTorch") from None
    except (ValueError, IndexError, KeyError) as error:
        raise WeightsError(f"{origin}: damaged, or not a file of PyTorch") from error


class _Machine:
    """The stack machine. A method of an instruction's name in lower case executes it."""

    def __init__(self, script: bool):
        self.storages: dict[str, StorageRef] = {}
        self._script = script
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # stacks below the marks
        self._memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO | mmap) -> Any:
        for _ in range(MAX_INSTRUCTIONS):
            opcode = _OPCODES.get(stream.read(1))
            name = opcode.name if opcode else "none"
            if name == "STOP":
                return self._stack.pop()
            if name == "GLOBAL":
                self._push_global(_line(stream), _line(stream))
                continue
            method = getattr(self, f"_do_{name.lower()}", None)
            if method is None and name not in _SIMPLE:
                raise Refused(f"a pickle instruction that weights do not need ({name})")
            argument = opcode.arg.reader(cast(BinaryIO, stream)) if opcode and opcode.arg else None
            if method is None:
                self._simple(name, argument)
            else:
                method(argument)
        raise Refused(f"a pickle of more than {MAX_INSTRUCTIONS:,} instructions")

    def _simple(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _CONTAINERS:
            self._stack.append(_CONTAINERS[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self._stack.append(tuple([self._stack.pop() for _ in range(count)][::-1]))

    # Stack and memory.

    def _do_pop(self, _) -> None:
        self._stack.pop()

    def _do_mark(self, _) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _do_pop_mark(self, _) -> None:
        self._above_mark()

    def _above_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _do_memoize(self, _) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_binput(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _do_binget(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _do_long_binput, _do_long_binget = _do_binput, _do_binget

    # Containers.

    def _container(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise Refused(f"items of a {kind.__name__} that is none")
        return self._stack[-1]

    def _do_tuple(self, _) -> None:
        items = tuple(self._above_mark())
        self._stack.append(items)

    def _do_append(self, _) -> None:
        item = self._stack.pop()
        self._container(list).append(item)

    def _do_appends(self, _) -> None:
        items = self._above_mark()
        self._container(list).extend(items)

    def _do_setitem(self, _) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._container(dict)[check_key(key)] = value

    def _do_setitems(self, _) -> None:
        items = self._above_mark()
        target = self._container(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def _do_additems(self, _) -> None:
        items = self._above_mark()
        self._container(set).update(map(check_key, items))

    # Names and objects.

    def _push_global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Refused("a name that is not a text")
        self._stack.append(lookup(module, name, self._script))

    def _do_stack_global(self, _) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_global(module, name)

    def _do_reduce(self, _) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Function) or type(arguments) is not tuple:
            raise Refused("a call of something that is not a function")
        self._stack.append(function.call(arguments))

    def _do_newobj(self, _) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if not isinstance(kind, ScriptType) or arguments != ():
            raise Refused("an object that is no TorchScript module")
        self._stack.append(ScriptObject())

    def _do_build(self, _) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is dict:
            return  # attributes of a state dict, such as its version: no weights
        if not isinstance(target, ScriptObject) or type(state) is not dict:
            raise Refused("attributes of something that is no TorchScript module")
        target.attributes = state

    def _do_binpersid(self, _) -> None:
        found = storage(self._stack.pop())
        if self.storages.setdefault(found.key, found) != found:
            raise Refused("a storage that is said to be of two types or sizes")
        self._stack.append(found)


_SIMPLE = {*_LITERALS, *_CONSTANTS, *_CONTAINERS, *_TUPLES, *_PASSED}


def _line(stream: BinaryIO | mmap) -> str:
    line = stream.readline()
    if not line.endswith(b"\n") or len(line) > MAX_NAME:
        raise Refused("a name without an end")
    return line[:-1].decode("utf-8")
