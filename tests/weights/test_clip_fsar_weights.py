"""CLIP-FSAR's names and layouts against the published list and NumPy."""

import jax
import numpy as np
import pytest
from published_names import random_tensors, shapes
from torch_writer import write_state_dict

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.layers.fusion import MultiModalFusion
from mdmf_jax.weights import clip_fsar
from mdmf_jax.weights.torch_format.file import read_state_dict

TEXT = TextConfig(16, 32, 1, 2)
# Sizes of the published ViT-B/16 model, and those of a small one with the same names.
SMALL = {768: 24, 2304: 72, 3072: 96, 512: 16, 2048: 20, 197: 5, 16: 4}
CONFIG = CLIPConfig(VisionConfig(24, 96, 12, 4, image_size=8, patch_size=4), TEXT, 16)
FUSION = MultiModalFusion(heads=4, hidden=20)


@pytest.fixture(scope="module")
def tensors():
    published = shapes("clip_fsar_vitb16")
    small = {n: tuple(SMALL.get(size, size) for size in shape) for n, shape in published.items()}
    return random_tensors(small)


@pytest.mark.parametrize(
    ("clip", "model", "count"),
    [("vit_b16", "clip_fsar_vitb16", 164), ("rn50", "clip_fsar_rn50", 351)],
)
def test_names_and_shapes_are_the_published_ones(clip, model, count):
    published = shapes(model)
    assert len(published) == count
    template = clip_fsar.template(published_config(clip), MultiModalFusion())
    # Zeros that take no memory.
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.int8(0), leaf.shape), template)
    written = {name: array.shape for name, array in clip_fsar.state_dict(zeros).items()}
    counters = {name for name in published if name.endswith("num_batches_tracked")}
    assert written == {name: published[name] for name in published.keys() - counters}


def test_values(tensors):
    params = clip_fsar.load_state_dict(tensors, CONFIG, FUSION)
    fusion = params["head"]["fusion"]
    context = "head.context2.layers.0"
    for ours, theirs in {
        ("attention0", "to_q"): "0.fn.to_q",
        ("attention0", "to_k"): "0.fn.to_k",
        ("attention0", "to_v"): "0.fn.to_v",
        ("attention0", "to_out"): "0.fn.to_out.0",
        ("ffn0", "fc1"): "1.net.0",
        ("ffn0", "fc2"): "1.net.3",
    }.items():
        kernel = fusion[ours[0]][ours[1]]["kernel"]
        np.testing.assert_array_equal(kernel, tensors[f"{context}.{theirs}.weight"].T)
    norm = tensors[f"{context}.0.norm.weight"]
    np.testing.assert_array_equal(fusion["attention0"]["norm"]["scale"], norm)
    np.testing.assert_array_equal(params["head"]["scale"], tensors["head.scale"])
    layer = params["encoder"]["vision_model"]["encoder"]["layers"]["11"]["self_attn"]
    packed = tensors["head.backbone.transformer.resblocks.11.attn.in_proj_weight"]
    np.testing.assert_array_equal(layer["v_proj"]["kernel"], packed[48:].T)


def test_the_way_back(tensors):
    back = clip_fsar.state_dict(clip_fsar.load_state_dict(tensors, CONFIG, FUSION))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_a_published_checkpoint_is_unwrapped(tensors, tmp_path):
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    path = write_state_dict(tmp_path / "checkpoint.pyth", parallel, "model_state")
    params = clip_fsar.load_state_dict(read_state_dict(path), CONFIG, FUSION)
    jax.tree.map(
        np.testing.assert_array_equal, params, clip_fsar.load_state_dict(tensors, CONFIG, FUSION)
    )


def test_all_problems_are_named(tensors):
    wrong = tensors | {"head.context_local.x": np.zeros(3, np.float32)}
    del wrong["head.context2.layers.0.1.net.0.bias"]
    wrong["head.scale"] = np.zeros((), np.float32)
    with pytest.raises(WeightsError) as caught:
        clip_fsar.load_state_dict(wrong, CONFIG, FUSION, origin="x.pt")
    message = str(caught.value)
    assert message.startswith("x.pt: ")
    assert "unknown tensor head.context_local.x" in message
    assert "missing tensor head.context2.layers.0.1.net.0.bias" in message
    assert "tensor head.scale has shape (), expected (1,)" in message
