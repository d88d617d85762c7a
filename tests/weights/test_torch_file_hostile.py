"""Files made to do harm: refused in one line, and nothing else happens."""

import io
import struct
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from torch_writer import (
    items,
    mapping,
    name,
    number,
    program,
    tensor,
    text,
    write_zip,
)

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.file import read_state_dict, read_torch_file

FILES = Path(__file__).parent / "torch_files"


def refused(path: Path) -> str:
    """The message of both readers, which must take no time."""
    messages, start = set(), time.monotonic()
    for read in (read_torch_file, read_state_dict):
        with pytest.raises(WeightsError) as caught:
            read(path)
        messages.add(str(caught.value))
    assert time.monotonic() - start < 10
    (message,) = messages
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 1000
    return message


def refused_pickle(folder: Path, content: bytes) -> str:
    return refused(write_zip(folder / "x.pt", program(content), {"0": bytes(24)}))


@pytest.mark.parametrize("file", ["evil_zip.pt", "evil_plain.pt"])
def test_no_program_is_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "refers to 'posix.system'" in refused(FILES / file)
    assert list(tmp_path.iterdir()) == []
    assert not (Path(tempfile.gettempdir()) / "pickle_was_run").exists()


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("builtins", "eval"),
        ("os", "system"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch", "load"),
        ("torch", "hub.load"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("__torch__", "Module"),
        ("mdmf_jax.weights.torch_format.file", "read_torch_file"),
    ],
)
def test_other_names_are_refused(tmp_path, module, attribute):
    assert f"refers to '{module}.{attribute}'" in refused_pickle(tmp_path, name(module, attribute))
    stacked = text(module) + text(attribute) + b"\x93"
    assert f"refers to '{module}.{attribute}'" in refused_pickle(tmp_path, stacked)


def test_names_are_shown_harmlessly(tmp_path):
    stacked = text("\x1b[2J\n" * 200) + text("x") + b"\x93"
    assert r"\x1b[2J\n" in refused_pickle(tmp_path, stacked)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem", "a name without an end"),
        (b"(ios\nsystem\n", "INST"),
        (b"\x82\x01", "EXT1"),
        (b"Pos\n", "PERSID"),
        (b")" + number(1) + b"\x92", "NEWOBJ_EX"),
        (number(1) + b")R", "a call of something that is not a function"),
        (name("torch", "float32") + b")R", "a call of something that is not a function"),
        (name("collections", "OrderedDict") + b"]R", "a call of something that is not a function"),
        (name("collections", "OrderedDict") + b")\x81", "no TorchScript module"),
        (name("collections", "OrderedDict") + b"]\x85R", "form that Python 3 writes"),
        (b"]}b", "attributes of something that is no TorchScript module"),
        (items(text("module"), text("x")) + b"Q", "something that is not a storage"),
        (b"}" + text("x") * 2 + b"a", "items of a list that is none"),
        (b"})" + number(1) + b"s", "a key of type tuple"),
        (b"}\x8a\x09" + b"\xff" * 8 + b"\x01" + text("x") + b"s", "a key of type int"),
        (name("torch", "FloatStorage"), "holds a StorageType, expected a state dict"),
        (b"h\x05", "damaged"),
        (b"0", "damaged"),
        (b"X\xff\xff\xff\xffab", "damaged"),
        (b"\x8e" + b"\xff" * 8, "damaged"),
        (b"(K\x01u", "damaged"),
        (b"", "damaged"),
    ],
)
def test_strange_pickles(tmp_path, content, message):
    path = write_zip(tmp_path / "x.pt", program(content), {})
    with pytest.raises(WeightsError, match=message):
        read_state_dict(path)


@pytest.mark.parametrize(
    "described",
    [
        ("FloatStorage", 6, 0, (7,), (1,)),
        ("FloatStorage", 6, 1, (6,), (1,)),
        ("FloatStorage", 6, 0, (3, 2), (3, 1)),
        ("FloatStorage", 6, 7, (), ()),
        ("FloatStorage", 6, 0, (2,), (-1,)),
        ("FloatStorage", 6, -1, (2,), (1,)),
        ("FloatStorage", 6, 0, (2, 2), (1,)),
        ("FloatStorage", 6, 0, (2**30,), (0,)),
        ("FloatStorage", 6, 0, (0, 2**62), (1, 1)),
        ("FloatStorage", 6, 0, (0, *[2**39] * 4), (1,) * 5),
        ("FloatStorage", 6, 0, (1,) * 40, (1,) * 40),
        ("FloatStorage", 2**62, 0, (1,), (1,)),
        ("FloatStorage", -1, 0, (1,), (1,)),
    ],
)
def test_tensors_stay_within_their_storage(tmp_path, described):
    refused_pickle(tmp_path, mapping({"x": tensor("0", *described)}))


def test_storages_are_as_long_as_they_say(tmp_path):
    content = mapping({"x": tensor("0", "FloatStorage", 7, 0, (6,), (1,))})
    assert "has 24 bytes, its tensors need 28" in refused_pickle(tmp_path, content)
    content = mapping({"x": tensor("../../0", "FloatStorage", 6, 0, (6,), (1,))})
    assert "member 'data/../../0' is missing" in refused_pickle(tmp_path, content)


def test_a_storage_is_of_one_type(tmp_path):
    tensors = [tensor("0", kind, 6, 0, (6,), (1,)) for kind in ("FloatStorage", "IntStorage")]
    message = refused_pickle(tmp_path, mapping(dict(zip("ab", tensors, strict=True))))
    assert "two types or sizes" in message


def remembered(index: int) -> bytes:
    """What was stored under a number."""
    return b"h" + bytes([index])


def stored(index: int) -> bytes:
    return b"q" + bytes([index])


def test_lists_that_share_their_items(tmp_path):
    """40 lists of twice the one before: 2^40 paths."""
    content = b"]" + stored(0)
    for i in range(40):
        content += b"](" + 2 * remembered(i) + b"e" + stored(i + 1)
    found = read_torch_file(write_zip(tmp_path / "x.pt", program(content), {}))
    assert found[0] is found[1] and len(found) == 2


@pytest.mark.parametrize("deep", [b"]" * 200_000 + b"a" * 199_999, b")" + b"\x85" * 200_000])
def test_deep_containers(tmp_path, deep):
    with pytest.raises(WeightsError, match="more than 100 containers"):
        read_torch_file(write_zip(tmp_path / "x.pt", program(deep), {}))


def test_long_pickles(tmp_path):
    assert "more than 1,000,000 instructions" in refused_pickle(tmp_path, b"N0" * 600_000)


def test_modules_that_share_their_members(tmp_path):
    """As the lists above, in a TorchScript archive."""
    made = name("__torch__", "M") + b")\x81"
    content = made + stored(0)
    for i in range(100):
        members = b"".join(text(key) + remembered(i) for key in "ab")
        content += made + b"}(" + members + b"ub" + stored(i + 1)
    extra = {"constants.pkl": program(b")")}
    path = write_zip(tmp_path / "x.pt", program(content), {}, **extra)
    with pytest.raises(WeightsError, match="more than 10,000 modules"):
        read_state_dict(path)


def zip_bytes() -> bytes:
    return (FILES / "state_dict_zip.pt").read_bytes()


def test_compressed_members_are_not_unpacked(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", program(text("x")) + bytes(2**28))
    assert path.stat().st_size < 2**20
    assert "'data.pkl' is compressed" in refused(path)


@pytest.mark.parametrize("size", [2**20, 2**31, 2**32 - 2])
@pytest.mark.parametrize("which", [b"data.pkl", b"data/0"])
def test_members_with_lying_sizes(tmp_path, size, which):
    data, path = bytearray(zip_bytes()), tmp_path / "x.pt"
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"state_dict_zip/" + which))
    data[entry + 20 : entry + 28] = struct.pack("<LL", size, size)
    path.write_bytes(data)
    refused(path)


def test_members_that_overlap(tmp_path):
    """Many members that are all the same bytes: an archive larger than its file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", program(b"}"))
        archive.writestr("a/data/0", bytes(100_000))
        first = archive.getinfo("a/data/0")
        for i in range(1, 100):
            info = zipfile.ZipInfo(f"a/data/{i}")
            info.file_size = info.compress_size = first.file_size
            info.CRC, info.header_offset = first.CRC, first.header_offset
            archive.filelist.append(info)
    path = tmp_path / "x.pt"
    path.write_bytes(buffer.getvalue())
    assert "larger than the file" in refused(path)


def test_members_of_one_name(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", program(b"}"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a/data.pkl", program(b"]"))
    assert "two members have the same name" in refused(path)


@pytest.mark.parametrize("member", ["../x", "/etc/x", "other/x"])
def test_members_elsewhere(tmp_path, member):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", program(b"}"))
        archive.writestr(member, b"x")
    refused(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_list_of_members_as_long_as_the_file(tmp_path):
    path, entries = tmp_path / "x.pt", 2**25
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, entries, 4, 0)
    path.write_bytes(b"PK\x03\x04" + bytes(entries) + end)
    assert "list of members is too long" in refused(path)
