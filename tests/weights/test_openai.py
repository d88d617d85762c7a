import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))

import synth  # noqa: E402
from published_names import shapes  # noqa: E402

from mdmf_jax.errors import WeightsError  # noqa: E402
from mdmf_jax.models.encoders.clip.config import (  # noqa: E402
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
)
from mdmf_jax.models.encoders.clip.published import published_config  # noqa: E402
from mdmf_jax.weights import openai  # noqa: E402
from mdmf_jax.weights.huggingface import template  # noqa: E402
from mdmf_jax.weights.table import to_tensors  # noqa: E402

CONFIGS = {
    "vit": CLIPConfig(
        VisionConfig(128, 512, 3, 2, image_size=32, patch_size=8),
        TextConfig(64, 256, 2, 1, vocab_size=600, eos_token_id=599),
        48,
    ),
    "resnet": CLIPConfig(
        ResNetConfig((1, 2, 1, 1), 16, 8, 64),
        TextConfig(64, 256, 2, 1, vocab_size=600, eos_token_id=599),
        48,
    ),
}


def read_case(kind):
    case = json.loads((PARITY / f"clip/openai_{kind}.json").read_text())
    return synth.state_dict(case["params"], seed=case["seed"])


@pytest.fixture(scope="module")
def tensors():
    return read_case("vit")


@pytest.fixture(scope="module")
def resnet():
    return read_case("resnet")


@pytest.mark.parametrize("kind", CONFIGS)
def test_sizes_are_read_off_the_shapes(kind):
    assert openai.config_from_state_dict(read_case(kind), origin="x") == CONFIGS[kind]


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_table_works_backwards(kind):
    tensors = read_case(kind)
    config, params = openai.load_state_dict(tensors)
    back = to_tensors(params, openai.rules(config.vision))
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(("name", "model"), [("vit_b16", "clip_vitb16"), ("rn50", "clip_rn50")])
def test_names_and_sizes_are_those_of_the_published_archives(name, model):
    config, published = published_config(name), shapes(model)
    # Zeros that take no memory.
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.int8(0), leaf.shape), template(config))
    written = to_tensors(zeros, openai.rules(config.vision))
    counters = {tensor for tensor in published if tensor.endswith("num_batches_tracked")}
    assert len(counters) == (55 if name == "rn50" else 0)
    expected = {tensor: published[tensor] for tensor in published.keys() - counters}
    assert {tensor: array.shape for tensor, array in written.items()} == expected
    assert openai.config_from_state_dict(written, origin="x") == config


def test_layouts_of_a_resnet(resnet):
    vision = openai.load_state_dict(resnet)[1]["vision_model"]
    block = vision["layer2"]["0"]
    kernel = resnet["visual.layer2.0.conv2.weight"]
    assert np.array_equal(block["conv2"]["kernel"], kernel.transpose(2, 3, 1, 0))
    shortcut = resnet["visual.layer2.0.downsample.0.weight"][:, :, 0, 0]
    assert np.array_equal(block["downsample_conv"]["kernel"][0, 0], shortcut.T)
    for ours, theirs in (("mean", "running_mean"), ("var", "running_var"), ("scale", "weight")):
        statistic = resnet[f"visual.layer2.0.downsample.1.{theirs}"]
        assert np.array_equal(block["downsample_bn"][ours], statistic)
    query = resnet["visual.attnpool.q_proj.weight"]
    assert np.array_equal(vision["attnpool"]["q_proj"]["kernel"], query.T)


def test_batch_norm_counters_may_be_there_or_not(resnet):
    norms = [name.removesuffix("running_var") for name in resnet if name.endswith("running_var")]
    counters = {f"{name}num_batches_tracked": np.array(5, np.int64) for name in norms}
    assert len(counters) == 3 + 5 * 3 + 4
    _, plain = openai.load_state_dict(resnet)
    _, counted = openai.load_state_dict(resnet | counters)
    assert jax.tree.all(jax.tree.map(np.array_equal, plain, counted))


def test_the_archives_whole_numbers_are_ignored_and_half_precision_is_widened(tensors):
    half = {name: x.astype(np.float16) for name, x in tensors.items()}
    extra = {"input_resolution": np.array(32), "context_length": np.array(77)}
    _, params = openai.load_state_dict(half | extra | {"vocab_size": np.array(600)})
    kernel = params["visual_projection"]["kernel"]
    assert kernel.dtype == np.float32
    assert np.array_equal(kernel, half["visual.proj"])


def test_wrong_tensors_are_named(tensors):
    broken = dict(tensors)
    del broken["transformer.resblocks.1.ln_2.bias"]
    broken["visual.transformer.resblocks.0.attn.in_proj_weight"] = np.zeros((128, 384), np.float32)
    broken["visual.gain"] = np.zeros(3, np.float32)
    with pytest.raises(WeightsError) as caught:
        openai.load_state_dict(broken, origin="ViT.pt")
    assert str(caught.value).split("; ") == [
        "ViT.pt: unknown tensor visual.gain",
        "tensor visual.transformer.resblocks.0.attn.in_proj_weight has shape (128, 384), "
        "expected (384, 128)",
        "missing tensor transformer.resblocks.1.ln_2.bias",
    ]


def test_wrong_tensors_of_a_resnet_are_named(resnet):
    broken = dict(resnet)
    del broken["visual.layer1.0.bn2.running_mean"]
    broken["visual.layer4.0.downsample.0.weight"] = np.zeros((512, 256, 3, 3), np.float32)
    broken["visual.layer1.0.bn4.num_batches"] = np.array(3)
    with pytest.raises(WeightsError) as caught:
        openai.load_state_dict(broken, origin="RN.pt")
    assert str(caught.value).split("; ") == [
        "RN.pt: unknown tensor visual.layer1.0.bn4.num_batches",
        "tensor visual.layer4.0.downsample.0.weight has shape (512, 256, 3, 3), "
        "expected (512, 256, 1, 1)",
        "missing tensor visual.layer1.0.bn2.running_mean",
    ]


def test_impossible_sizes_are_refused_with_the_files_name(tensors):
    odd = {**tensors, "visual.conv1.weight": np.zeros((200, 3, 8, 8), np.float32)}
    with pytest.raises(WeightsError, match="^ViT.pt: .*200 is not a multiple"):
        openai.load_state_dict(odd, origin="ViT.pt")


def test_what_is_no_clip_is_refused(tensors):
    with pytest.raises(WeightsError, match="no tensor visual.layer1.0.conv1.weight with 4 axes"):
        openai.load_state_dict({**tensors, "visual.layer1.0.conv1.weight": np.zeros(3)})
    with pytest.raises(WeightsError, match="no tensor visual.conv1.weight"):
        openai.load_state_dict({"weight": np.zeros(3)})
