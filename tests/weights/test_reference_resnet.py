"""CLIP-MDMF with a ResNet: names and shapes of the published list, and the way there and back."""

import jax
import numpy as np
import pytest
from published_names import shapes

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.methods.mdmf import MDMFConfig
from mdmf_jax.weights import reference

SMALL = CLIPConfig(ResNetConfig((1, 2, 1, 1), 2, 4, 32), TextConfig(16, 32, 1, 2), 8)
METHOD = MDMFConfig(heads=2, hidden=12)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    template = reference.template(SMALL, METHOD)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), template)


@pytest.fixture
def tensors(params):
    """As a file holds them: image tower in DataParallel, counters, tensors without use."""
    written = reference.state_dict(params)
    norms = [name.removesuffix("running_var") for name in written if name.endswith("running_var")]
    written |= {f"{name}num_batches_tracked": np.array(9, np.int64) for name in norms}
    for number in (11, 22):
        written[f"context_conv{number}.weight"] = np.zeros((8, 8, 3), np.float32)
        written[f"context_conv{number}.bias"] = np.zeros(8, np.float32)
    return {name.replace("backbone.", "backbone.module."): x for name, x in written.items()}


@pytest.mark.parametrize(("name", "model"), [("vit_b16", "mdmf_vitb16"), ("rn50", "mdmf_rn50")])
def test_names_and_shapes_are_the_published_ones(name, model):
    template = reference.template(published_config(name), MDMFConfig())
    # Zeros that take no memory.
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.int8(0), leaf.shape), template)
    written = {name: array.shape for name, array in reference.state_dict(zeros).items()}
    left_out = ("num_batches_tracked", "context_conv11", "context_conv22")
    published = shapes(model).items()
    assert written == {n: shape for n, shape in published if not any(x in n for x in left_out)}


def test_what_is_written_is_read_back(params, tensors):
    loaded = reference.load_state_dict(tensors, SMALL, METHOD)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, params))


def test_values(params, tensors):
    tower = params["encoder"]["vision_model"]
    kernel = tensors["backbone.module.layer2.1.conv2.weight"]
    assert np.array_equal(tower["layer2"]["1"]["conv2"]["kernel"], kernel.transpose(2, 3, 1, 0))
    projection = params["encoder"]["visual_projection"]
    assert np.array_equal(projection["kernel"], tensors["backbone.module.attnpool.c_proj.weight"].T)
    assert np.array_equal(projection["bias"], tensors["backbone.module.attnpool.c_proj.bias"])


def test_wrong_tensors_are_named(tensors):
    del tensors["backbone.module.bn1.running_mean"]
    tensors["backbone.module.proj"] = np.zeros((4, 8), np.float32)
    with pytest.raises(WeightsError) as caught:
        reference.load_state_dict(tensors, SMALL, METHOD, origin="x.pt")
    assert str(caught.value).split("; ") == [
        "x.pt: unknown tensor backbone.proj",
        "missing tensor backbone.bn1.running_mean",
    ]
