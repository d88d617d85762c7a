"""What comes before the first LayerNorm, and frame features before the projection."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_tower import error, exact, layer_norm, random_like

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
)
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.encoders.clip.vit import VisionEmbeddings
from mdmf_jax.models.layers.adapter import TemporalEmbedding, TowerCall

VISION = VisionConfig(8, 16, 1, 2, image_size=16, patch_size=8)
TEXT = TextConfig(8, 16, 1, 2, vocab_size=20, eos_token_id=19)
CONFIG = CLIPConfig(VISION, TEXT, 6)
CALL = TowerCall(3)
PIXELS = np.random.default_rng(1).normal(size=(6, 16, 16, 3)).astype(np.float32)  # two videos


def tower(**options):
    return CLIPVision(CONFIG, embedding=TemporalEmbedding, **options)


@pytest.fixture(scope="module")
def params():
    init = lambda key: tower().init(key, PIXELS, None, CALL, method="features")  # noqa: E731
    return random_like(jax.eval_shape(init, jax.random.key(0))["params"])


def run(module, params, call=CALL) -> dict[str, jax.Array]:
    found: Any = module.apply({"params": params}, PIXELS, None, call, method="features")
    return found


def test_each_frame_has_a_vector_that_is_added_before_the_first_layer_norm(params):
    vision = params["vision_model"]
    embedded = VisionEmbeddings(VISION).apply({"params": vision["embeddings"]}, PIXELS)
    tokens = exact(embedded).reshape(2, 3, 5, 8)
    tokens = tokens + exact(vision["adapter_embedding"]["temporal"])[None, :, None]
    expected = layer_norm(exact(vision["pre_layrnorm"]), tokens).reshape(6, 5, 8)
    assert error(run(tower(wanted=("tokens_0",)), params)["tokens_0"], expected) < 1e-5


def test_it_is_zero_at_the_start():
    made: Any = TemporalEmbedding().init(jax.random.key(0), jnp.ones((2, 3, 5, 8)), CALL)
    vectors = made["params"]["temporal"]
    assert vectors.shape == (3, 8) and not vectors.any()


def test_frames_before_the_projection(params):
    frames = run(tower(project=False), {"vision_model": params["vision_model"]})["frames"]
    projected = exact(frames) @ exact(params["visual_projection"]["kernel"])
    assert error(run(tower(), params)["frames"], projected) < 1e-5


def test_another_number_of_frames_gets_one_line(params):
    with pytest.raises(ConfigError, match="videos of 2 frames, but .* made for 3"):
        run(tower(), params, TowerCall(2))


def test_a_resnet_has_no_place_for_it():
    config = CLIPConfig(ResNetConfig((1, 1, 1, 1), 2, 4, image_size=32), TEXT, 6)
    module = CLIPVision(config, embedding=TemporalEmbedding)
    with pytest.raises(ConfigError, match="need a vision transformer"):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
