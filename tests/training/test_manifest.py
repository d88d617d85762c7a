"""Every change of a checkpoint's files is noticed."""

import pytest

from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.manifest import NAME, check_manifest, write_manifest

FILES = {"state/d/0": b"\x00\x01" * 50, "state/manifest": b"x", "settings/metadata": b"{}"}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_manifest(tmp_path / "7")
    return tmp_path / "7"


def test_a_whole_checkpoint_passes(folder):
    check_manifest(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["7"]


@pytest.mark.parametrize("name", [*FILES, NAME])
def test_truncation_and_deletion_are_noticed_and_named(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f"7 is damaged: .*{name}"):
        check_manifest(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"7 is damaged: {name} is missing"):
        check_manifest(folder)


def test_every_flipped_bit_is_noticed(folder):
    for name in [*FILES, NAME]:
        path = folder / name
        content = path.read_bytes()
        for place in range(len(content)):
            for bit in range(8):
                flipped = bytearray(content)
                flipped[place] ^= 1 << bit
                path.write_bytes(flipped)
                with pytest.raises(CheckpointError, match="7 is damaged"):
                    check_manifest(folder)
        path.write_bytes(content)
    check_manifest(folder)
