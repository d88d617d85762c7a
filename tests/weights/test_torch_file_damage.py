"""Damaged files: refused in one line, whatever the damage."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_writer import write_state_dict, write_zip

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.file import read_state_dict, read_torch_file

FILES = Path(__file__).parent / "torch_files"
SOUND = ["state_dict_zip.pt", "state_dict_legacy.pt", "torchscript_module.pt"]


@pytest.mark.parametrize("file", SOUND)
def test_truncated_files(file, tmp_path):
    data, path = (FILES / file).read_bytes(), tmp_path / "x.pt"
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        assert not read_if_possible(path)


def test_a_flipped_bit_of_a_zip_file_is_noticed(tmp_path):
    array = np.linspace(0, 1, 500, dtype=np.float32)
    path = write_state_dict(tmp_path / "x.pt", {"x": array})
    data = path.read_bytes()
    start = data.index(array.tobytes())
    for place in range(start, start + array.nbytes, 61):
        path.write_bytes(flipped(data, [place], [4]))
        with pytest.raises(WeightsError, match="x.pt: damaged.*Bad CRC-32"):
            read_state_dict(path)


def flipped(data: bytes, places, bits) -> bytes:
    changed = bytearray(data)
    for place, bit in zip(places, bits, strict=True):
        changed[place] ^= 1 << bit
    return bytes(changed)


def mutations(data: bytes, count: int, seed: int):
    """Copies of `data` with flipped bits, foreign bytes, and parts taken out or moved."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        kind, changes = rng.integers(4), rng.integers(1, 4)
        places = rng.integers(0, len(data), changes)
        begin, end = sorted(rng.integers(0, len(data), 2))
        if kind == 0:
            yield flipped(data, places, rng.integers(0, 8, changes))
        elif kind == 1:
            changed = bytearray(data)
            for place in places:
                changed[place] = rng.integers(256)
            yield bytes(changed)
        elif kind == 2:
            yield data[:begin] + data[min(end, begin + rng.integers(1, 30)) :]
        else:
            yield data[:begin] + data[end : end + 40] + data[begin:]


def read_if_possible(path: Path) -> bool:
    """Any exception but WeightsError fails the test."""
    try:
        read_torch_file(path)
        read_state_dict(path)
    except WeightsError as error:
        assert str(error).isprintable()
        return False
    return True


@pytest.mark.parametrize("file", [*SOUND, "checkpoint_wrapper.pt", "evil_plain.pt"])
def test_mutated_files(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, data = tmp_path / "x.pt", (FILES / file).read_bytes()
    outcomes = []
    for changed in mutations(data, 600, seed=1):
        path.write_bytes(changed)
        outcomes.append(read_if_possible(path))
    assert outcomes.count(False) > 200
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("file", ["checkpoint_wrapper", "torchscript_module", "evil_zip"])
def test_mutated_pickles(file, tmp_path, monkeypatch):
    """As above behind a sound checksum, so that the pickle itself is read."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(FILES / f"{file}.pt") as archive:
        members = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    pickled = members.pop("data.pkl")
    path, outcomes = tmp_path / "x.pt", []
    for changed in mutations(pickled, 600, seed=2):
        outcomes.append(read_if_possible(write_zip(path, changed, {}, **members)))
    assert outcomes.count(False) > 200
    assert list(tmp_path.iterdir()) == [path]
