from types import SimpleNamespace

import numpy as np
import pytest

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.table import Ignored, keep, rule, split, to_params, to_tensors, transpose

RULES = (
    rule("block.*.weight", "block/*/kernel", transpose(1, 0)),
    rule("block.*.qkv", ("block/*/q", "block/*/k", "block/*/v"), split(2, 3)),
    rule("conv", "conv", transpose(2, 3, 1, 0)),
    rule("scale", "scale", keep(0)),
)
IGNORED = (Ignored("steps", "a counter"),)
SHAPES = {"kernel": (3, 2), "q": (4, 5), "k": (4, 5), "v": (4, 5)}


def template() -> dict:
    blocks = {i: {k: SimpleNamespace(shape=s) for k, s in SHAPES.items()} for i in ("0", "10")}
    leaves = {"conv": SimpleNamespace(shape=(7, 8, 3, 6)), "scale": SimpleNamespace(shape=())}
    return {"block": blocks, **leaves}


def source() -> dict:
    rng = np.random.default_rng(0)
    tensors = {"scale": np.float32(rng.normal()) * np.ones(()), "steps": np.array(3)}
    tensors["conv"] = rng.normal(size=(6, 3, 7, 8))
    for i in (0, 10):
        tensors[f"block.{i}.weight"] = rng.normal(size=(2, 3))
        tensors[f"block.{i}.qkv"] = rng.normal(size=(15, 4))
    return {name: np.asarray(x, x.dtype) for name, x in tensors.items()}


def convert(tensors: dict) -> dict:
    return to_params(tensors, RULES, template(), ignored=IGNORED, origin="file.x")


def test_every_tensor_lands_where_the_table_says():
    tensors = source()
    params = convert(tensors)
    np.testing.assert_allclose(params["block"]["10"]["kernel"], tensors["block.10.weight"].T)
    np.testing.assert_allclose(params["block"]["0"]["k"], tensors["block.0.qkv"][5:10].T)
    np.testing.assert_allclose(params["block"]["0"]["v"], tensors["block.0.qkv"][10:].T)
    np.testing.assert_allclose(params["conv"][1, 2, 0, 4], tensors["conv"][4, 0, 1, 2])
    np.testing.assert_allclose(params["scale"], tensors["scale"])
    assert params["conv"].dtype == params["scale"].dtype == np.float32


def test_the_table_works_backwards():
    tensors = {name: x.astype(np.float32) for name, x in source().items() if name != "steps"}
    back = to_tensors(convert(tensors), RULES)
    assert back.keys() == tensors.keys()
    for name in tensors:
        assert back[name].shape == tensors[name].shape
        assert np.array_equal(back[name], tensors[name]), name


def test_half_precision_becomes_float32():
    tensors = source()
    tensors["conv"] = tensors["conv"].astype(np.float16)
    params = convert(tensors)
    assert params["conv"].dtype == np.float32
    assert np.array_equal(params["conv"], tensors["conv"].transpose(2, 3, 1, 0))


def test_all_problems_are_named_in_one_line():
    tensors = source()
    del tensors["block.0.qkv"], tensors["scale"]
    tensors["conv"] = np.zeros((6, 3, 7, 9))
    tensors["block.10.qkv"] = np.zeros(15)
    tensors["block.0.weight"] = np.zeros((2, 3), np.int32)
    tensors["block.2.weight"] = np.zeros((2, 3))
    tensors["head.bias"] = np.zeros(3)
    with pytest.raises(WeightsError) as caught:
        convert(tensors)
    problems = str(caught.value).removeprefix("file.x: ").split("; ")
    assert sorted(problems) == [
        "missing tensor block.0.qkv",
        "missing tensor scale",
        "tensor block.0.weight holds int32, expected floating point numbers",
        "tensor block.10.qkv has shape (15,), expected (15, 4)",
        "tensor conv has shape (6, 3, 7, 9), expected (6, 3, 7, 8)",
        "unknown tensor block.2.weight",
        "unknown tensor head.bias",
    ]


def test_a_second_tensor_for_one_parameter_is_an_error():
    rules = (*RULES, rule("also_conv", "conv", transpose(2, 3, 1, 0)))
    tensors = source() | {"also_conv": source()["conv"]}
    with pytest.raises(WeightsError, match="tensor conv fills conv a second time"):
        to_params(tensors, rules, template(), ignored=IGNORED, origin="x")


def test_a_parameter_without_a_rule_cannot_be_written():
    with pytest.raises(WeightsError, match="block/0/gain has no place"):
        to_tensors(convert(source()) | {"block": {"0": {"gain": np.ones(3)}}}, RULES)
    with pytest.raises(WeightsError, match="block/0/q has no place"):
        to_tensors({"block": {"0": {"q": np.ones((4, 5))}}}, RULES)


def test_layer_numbers_are_not_mixed_up_with_names():
    tensors = source() | {"block.01.weight": np.zeros((2, 3)), "block.x.weight": np.zeros((2, 3))}
    with pytest.raises(WeightsError, match="unknown tensor block.01.weight; .*block.x.weight"):
        convert(tensors)
