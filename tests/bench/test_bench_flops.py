"""Formulas of the operations, against counts by hand and against XLA's."""

import jax
import jax.numpy as jnp
import pytest

from mdmf_jax.bench import flops
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig

pytestmark = pytest.mark.optimised

TEXT = TextConfig(8, 16, 1, 2)


def xla_flops(function, *shapes):
    return jax.jit(function).lower(*shapes).compile().cost_analysis()["flops"]


def test_vit_b16():
    # 196 patches of 768 numbers; 12 blocks on 197 tokens; 512 features. In GFLOP: 0.231 for the
    # patches, 11 times 0.930 + 0.119 + 1.859 for projections, attention and dense layers.
    by_hand = 0.2312e9 + 11 * (0.92956e9 + 0.11923e9 + 1.85912e9) + 2 * 768 * 512
    # The last block: keys and values of all tokens, and the rest for one of them.
    by_hand += 4 * 197 * 768**2 + 4 * 768**2 + 4 * 197 * 768 + 4 * 768 * 3072
    assert flops.image_flops(published_config("vit_b16")) == pytest.approx(by_hand, rel=1e-4)


def test_block():
    # 3 tokens look at 5, width 4, hidden 7: q and out on 3, k and v on 5.
    by_hand = 2 * (3 * 4 * 4 * 2 + 5 * 4 * 4 * 2 + 3 * 5 * 4 * 2 + 3 * 4 * 7 * 2)
    assert flops.block_flops(3, 5, 4, 7) == by_hand


@pytest.mark.parametrize(
    "vision",
    [
        VisionConfig(128, 512, 2, 2, image_size=64, patch_size=16),
        ResNetConfig((1, 2, 1, 1), 32, 16, 64),
    ],
    ids=["vit", "resnet"],
)
def test_image_towers_as_xla_counts_them(vision):
    config = CLIPConfig(vision, TEXT, 64)
    module, pixels = CLIPVision(config), jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), pixels)
    counted = xla_flops(module.apply, params, pixels)
    # XLA adds what is not a matrix product, and leaves out the zeros around an image.
    assert flops.image_flops(config) == pytest.approx(counted, rel=0.1)


def test_mdmf_head():
    # T = 5, D = 4, hidden 8, one layer. The local context has two convolutions at all frames;
    # the global one has three blocks on 5, 3 and 2 frames: 5 + 3, 3 + 2, 2 + 1. Both
    # transformers see the text and five frames.
    convolutions = (2 * 5 + 5 + 3 + 3 + 2 + 2 + 1) * 2 * 3 * 4 * 4
    fusion = 2 * (6 * 4 * 4 * 4 + 6 * 6 * 4 * 2 + 6 * 4 * 8 * 2)
    assert flops.mdmf_video_flops(5, 4, 8) == convolutions + 2 * fusion
    assert flops.mdmf_episode_flops(30, 5, 4, 8) == 30 * (convolutions + 2 * fusion)


def test_mdmf_head_as_xla_counts_it():
    way, shot, frames, size = 2, 1, 8, 128
    method = MDMF(MDMFConfig(heads=2, hidden=512, bidirectional=False))
    support = {"frames": jax.ShapeDtypeStruct((way, shot, frames, size), jnp.float32)}
    query = {"frames": jax.ShapeDtypeStruct((way, frames, size), jnp.float32)}
    prompts = jax.ShapeDtypeStruct((way, size), jnp.float32)
    params = jax.eval_shape(method.init, jax.random.key(0), support, query, prompts)

    def logits(params, *arrays):
        return method.apply(params, *arrays).logits

    counted = xla_flops(logits, params, support, query, prompts)
    assert flops.mdmf_episode_flops(4, frames, size, 512) == pytest.approx(counted, rel=0.1)
