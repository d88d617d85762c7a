"""Interpolated position embeddings against Pillow's bicubic and against NumPy."""

import jax
import numpy as np
import pytest
from PIL import Image

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.positions import interpolate_positions
from mdmf_jax.models.encoders.clip.vision import CLIPVision

TEXT = TextConfig(16, 32, 1, 2)
VIT = CLIPConfig(VisionConfig(12, 24, 1, 2, image_size=32, patch_size=8), TEXT, 6)
RESNET = CLIPConfig(ResNetConfig((1, 1, 1, 1), 2, 4, image_size=96), TEXT, 6)
PATHS = {
    VIT: ("embeddings", "position_embedding", "embedding"),
    RESNET: ("attnpool", "positional_embedding"),
}


def shapes(config):
    side = config.vision.image_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    return jax.eval_shape(CLIPVision(config).init, jax.random.key(0), pixels)["params"]


def random_params(config):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes(config))


def table(params, config):
    for name in ("vision_model", *PATHS[config]):
        params = params[name]
    return params


def by_pillow(grid, side):
    """Each channel [G, G] as a picture of floating point numbers."""
    pictures = [Image.fromarray(channel, mode="F") for channel in np.moveaxis(grid, -1, 0)]
    resized = [picture.resize((side, side), Image.Resampling.BICUBIC) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in resized], axis=-1)


def by_numpy(grid, side):
    """Keys' kernel (a = -0.5) at every distance, written as a matrix for rows and columns."""
    old = len(grid)
    centres = (np.arange(side) + 0.5) * old / side - 0.5
    d = np.abs(centres[:, None] - np.arange(old))
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("ai,bj,ijc->abc", weights, weights, grid)


@pytest.mark.parametrize("config", PATHS, ids=["vit", "resnet"])
@pytest.mark.parametrize(("side", "expected"), [(7, by_pillow), (7, by_numpy), (2, by_numpy)])
def test_the_grid_is_interpolated_and_the_first_token_kept(config, side, expected):
    old, unit = config.vision.grid, config.vision.image_size // config.vision.grid
    params = random_params(config)
    resized, new = interpolate_positions(params, config, side * unit)
    before, after = table(params, config), table(resized, config)
    assert after.dtype == np.float32
    assert np.array_equal(before[0], after[0])
    grid = before[1:].reshape(old, old, -1)
    np.testing.assert_allclose(
        after[1:].reshape(side, side, -1), expected(grid, side), rtol=1e-4, atol=1e-5
    )
    assert new.vision.image_size == side * unit
    assert jax.tree.map(np.shape, resized) == jax.tree.map(np.shape, shapes(new))


@pytest.mark.parametrize("config", PATHS, ids=["vit", "resnet"])
def test_nothing_else_changes(config):
    params = random_params(config)
    before = table(params, config).copy()
    resized, new = interpolate_positions(params, config, 3 * config.vision.image_size)
    assert np.array_equal(table(params, config), before)
    assert new.text == config.text and new.projection_dim == config.projection_dim
    changed = jax.tree.map(lambda a, b: a is not b, params["vision_model"], {
        **resized["vision_model"],
        PATHS[config][0]: params["vision_model"][PATHS[config][0]],
    })  # fmt: skip
    assert not any(jax.tree.leaves(changed))
    same, config_again = interpolate_positions(params, config, config.vision.image_size)
    assert config_again == config
    np.testing.assert_allclose(table(same, config), before, atol=1e-6)


@pytest.mark.parametrize(("config", "side"), [(VIT, 36), (VIT, 0), (RESNET, 80), (RESNET, 0)])
def test_a_size_without_a_grid_is_refused(config, side):
    with pytest.raises(ConfigError, match=f"{side}"):
        interpolate_positions(random_params(config), config, side)


def test_parameters_of_another_config_are_refused():
    with pytest.raises(ConfigError, match=r"position_embedding/embedding.*\(17, 12\)"):
        interpolate_positions(random_params(RESNET), VIT, 64)
