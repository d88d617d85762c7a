"""Sizes of OpenAI's models, without their weights."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.published import PUBLISHED, published_config
from mdmf_jax.models.methods.mdmf import MDMFConfig
from mdmf_jax.weights import reference

# OpenAI's models as PyTorch counts their parameters: without BatchNorm's running statistics.
PARAMETERS = {
    "rn50": 102_007_137,
    "rn101": 119_688_033,
    "rn50x4": 178_300_601,
    "rn50x16": 290_979_217,
    "rn50x64": 623_258_305,
    "vit_b32": 151_277_313,
    "vit_b16": 149_620_737,
    "vit_l14": 427_616_513,
    "vit_l14_336": 427_944_193,
}


def count(shapes) -> int:
    flat = flatten_dict(shapes)
    return sum(math.prod(x.shape) for path, x in flat.items() if path[-1] not in ("mean", "var"))


def test_the_table_is_complete():
    assert PARAMETERS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_outputs(name):
    config = published_config(name)
    side, model = config.vision.image_size, CLIP(config)
    pixels = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    ids = jax.ShapeDtypeStruct((3, 77), jnp.int32)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), pixels, ids)
    assert logits.shape == (2, 3)
    assert count(variables["params"]) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "total"), [("vit_b16", 98_790_913), ("rn50", 80_286_561)])
def test_parameters_of_clip_mdmf(name, total):
    # The published model without the tensors that it stores twice or never uses.
    assert count(reference.template(published_config(name), MDMFConfig())) == total


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="'vit_b8'; known are: rn50, .*vit_l14_336"):
        published_config("vit_b8")
