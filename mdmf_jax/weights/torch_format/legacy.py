"""The format of PyTorch before 1.6: pickles one after another, then the storages.

The pickles: a magic number, a version, facts about the machine, the content, and the keys of
the storages in their order. A storage is its number of items (8 bytes) and the items.
"""

import mmap
from typing import Any, BinaryIO

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.objects import StorageRef
from mdmf_jax.weights.torch_format.pickle import read_pickle

MAGIC = b"\x80"  # of any pickle
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001


class LegacyFormat:
    """An open file of PyTorch's old format.

    Attributes:
      content: what the file holds; see `read_pickle`.
      big_endian: byte order of the storages.

    Raises:
      WeightsError: the file is damaged, was not written by PyTorch, or holds other things
          than weights.
    """

    def __init__(self, file: BinaryIO, *, origin: str):
        self._origin = origin
        # Unlike a file, a map never makes room for more bytes than there are.
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._pickle() != MAGIC_NUMBER or self._pickle() != VERSION:
            raise self._error("a pickle, but not of PyTorch")
        facts = self._pickle()
        order = facts.get("little_endian") if type(facts) is dict else None
        if type(order) is not bool:
            raise self._error("it does not say its byte order")
        self.big_endian = not order
        self.content, storages = read_pickle(self._map, origin=origin)
        self._places = self._find_storages(self._pickle(), storages)

    def read(self, storage: StorageRef) -> bytes:
        """The bytes of a storage."""
        start = self._places[storage.key]
        return self._map[start : start + storage.size]

    def _pickle(self) -> Any:
        return read_pickle(self._map, origin=self._origin)[0]

    def _find_storages(self, keys: Any, storages: dict[str, StorageRef]) -> dict[str, int]:
        """Where the items of each storage begin."""
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise self._error("it has no list of storages")
        if set(keys) != storages.keys() or len(keys) != len(storages):
            raise self._error("its list of storages is not that of its tensors")
        places, place = {}, self._map.tell()
        order = "big" if self.big_endian else "little"
        for key in keys:
            count = self._map[place : place + 8]
            places[key] = place + 8
            place += 8 + storages[key].size
            if int.from_bytes(count, order) != storages[key].count or place > len(self._map):
                raise self._error("a storage is shorter than its tensors need")
        return places

    def _error(self, reason: str) -> WeightsError:
        return WeightsError(f"{self._origin}: damaged, or not a file of PyTorch ({reason})")
