"""Files that PyTorch wrote, and files that it could have written."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from torch_writer import (
    items,
    mapping,
    name,
    number,
    program,
    tensor,
    text,
    write_state_dict,
    write_zip,
)

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.torch_format.file import read_state_dict, read_torch_file

FILES = Path(__file__).parent / "torch_files"
NUMBERS = np.arange(6, dtype=np.float32)


def expected(file: str) -> dict[str, np.ndarray]:
    return dict(np.load(FILES / file))


def assert_same(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for key, array in wanted.items():
        assert (found[key].dtype, found[key].shape) == (array.dtype, array.shape), key
        np.testing.assert_array_equal(found[key], array)


def views(path: Path, *described: tuple, data: bytes = NUMBERS.tobytes(), **extra) -> Path:
    """A file with one storage "0" and tensors that view it."""
    tensors = {f"x{i}": tensor("0", *values) for i, values in enumerate(described)}
    return write_zip(path, program(mapping(tensors)), {"0": data}, **extra)


@pytest.mark.parametrize("file", ["state_dict_zip.pt", "state_dict_legacy.pt"])
def test_state_dict(file):
    assert_same(read_state_dict(FILES / file), expected("expected.npz"))
    assert_same(read_torch_file(FILES / file), expected("expected.npz"))


def test_state_dict_in_a_checkpoint():
    found = read_state_dict(FILES / "checkpoint_wrapper.pt")
    assert "backbone.module.a.bias" in found
    plain = {key.removeprefix("backbone.module."): array for key, array in found.items()}
    assert_same(plain, expected("expected.npz"))


def test_everything_in_a_checkpoint():
    found = read_torch_file(FILES / "checkpoint_wrapper.pt")
    assert found["iteration"] == 14000
    assert found["scheduler"]["milestones"] == {5: 1}
    (group,) = found["optimizer_state_dict"]["param_groups"]
    assert (group["betas"], group["fused"]) == ((0.9, 0.999), None)
    moments = found["optimizer_state_dict"]["state"][0]
    np.testing.assert_array_equal(moments["exp_avg"], np.full((2, 2), 0.1, np.float32))


def test_torchscript_archive():
    path = FILES / "torchscript_module.pt"
    assert_same(read_state_dict(path), expected("torchscript_expected.npz"))
    assert read_torch_file(path)["second"]["1"]["training"] is False


@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "model_state", "state_dict"])
def test_wrappers(tmp_path, wrapper):
    arrays = {"a": NUMBERS.reshape(2, 3), "b.c": np.array(3, np.int64), "half": np.zeros(2, "f2")}
    assert_same(read_state_dict(write_state_dict(tmp_path / "x.pt", arrays, wrapper)), arrays)


def test_only_what_is_asked_for_is_read(tmp_path):
    """A lost storage of the optimizer does not matter to the weights."""
    weights = mapping({"a": tensor("0", "FloatStorage", 6, 0, (6,), (1,))})
    content = b"}(" + text("model_state") + weights
    content += text("optimizer_state") + tensor("1", "FloatStorage", 1, 0, (1,), (1,)) + b"u"
    path = write_zip(tmp_path / "x.pt", program(content), {"0": NUMBERS.tobytes()})
    assert_same(read_state_dict(path), {"a": NUMBERS})
    with pytest.raises(WeightsError, match="'data/1' is missing"):
        read_torch_file(path)


def test_clips(tmp_path):
    path = views(
        tmp_path / "x.pt",
        ("FloatStorage", 6, 0, (3, 2), (2, 1)),
        ("FloatStorage", 6, 0, (2, 3), (1, 2)),
        ("FloatStorage", 6, 4, (), ()),
        ("FloatStorage", 6, 6, (0, 4), (4, 1)),
    )
    square = NUMBERS.reshape(3, 2)
    wanted = [square, square.T, np.float32(4), np.zeros((0, 4), np.float32)]
    found = read_state_dict(path)
    assert_same(found, {f"x{i}": np.asarray(array) for i, array in enumerate(wanted)})
    assert np.shares_memory(found["x0"], found["x1"])


def test_byte_order(tmp_path):
    big = NUMBERS.astype(">f4").tobytes()
    described = ("FloatStorage", 6, 0, (6,), (1,))
    path = views(tmp_path / "x.pt", described, data=big, byteorder=b"big")
    assert_same(read_state_dict(path), {"x0": NUMBERS})
    path = views(tmp_path / "y.pt", described, data=big, byteorder=b"other")
    with pytest.raises(WeightsError, match="unknown byte order"):
        read_state_dict(path)


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.5, -2, np.inf, 3e38, 1e-40], ml_dtypes.bfloat16)
    path = views(tmp_path / "x.pt", ("BFloat16Storage", 5, 0, (5,), (1,)), data=values.tobytes())
    assert_same(read_state_dict(path), {"x0": values.astype(np.float32)})


def test_plain_values(tmp_path):
    content = items(
        name("torch", "Size") + items(items(number(2), number(2**35))) + b"R",
        name("torch", "device") + items(text("cuda"), number(1)) + b"R",
        name("torch", "float16"),
        name("__builtin__", "set") + items(b"](" + number(-4) + text("é") + b"e") + b"R",
        b"\x8fq\x07(\x88\x90",
        b"h\x07",
        b"B\x02\x00\x00\x00ab",
        b"N",
    )
    found = read_torch_file(write_zip(tmp_path / "x.pt", program(content), {}))
    assert found == ((2, 2**35), "cuda:1", "float16", {-4, "é"}, {True}, {True}, b"ab", None)


def test_containers_may_contain_themselves(tmp_path):
    found = read_torch_file(write_zip(tmp_path / "x.pt", program(b"]q\x00h\x00a"), {}))
    assert found[0] is found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (number(3), "holds a int, expected a state dict"),
        (b"}", "holds no tensors by name"),
        (b"}" + text("a") + number(1) + b"s", "'a' is not a tensor but a int"),
        (b"}" + number(1) + text("a") + b"s", "'1' is not a name of a tensor"),
        (b"}" + text("a\nb") + text("c") + b"s", r"'a\\nb' is not a name of a tensor"),
    ],
)
def test_files_without_a_state_dict(tmp_path, content, message):
    path = write_zip(tmp_path / "x.pt", program(content), {})
    with pytest.raises(WeightsError, match=message):
        read_state_dict(path)


@pytest.mark.parametrize("content", [None, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_no_file_of_pytorch(tmp_path, content):
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="x.pt: (cannot be read|not a file of PyTorch)"):
        read_torch_file(path)
