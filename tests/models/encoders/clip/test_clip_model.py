import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.blocks import quick_gelu
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    TextConfig,
    VisionConfig,
    from_huggingface,
    to_huggingface,
)
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.text import CLIPText, end_position
from mdmf_jax.models.encoders.clip.vision import CLIPVision


def config(act="quick_gelu", eos=98) -> CLIPConfig:
    vision = VisionConfig(32, 48, 2, 4, act, 1e-5, image_size=24, patch_size=8)
    text = TextConfig(16, 40, 3, 2, act, 1e-5, 99, 12, eos)
    return CLIPConfig(vision, text, 20)


def shapes(config: CLIPConfig) -> dict:
    side = config.vision.image_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, config.text.max_position_embeddings), jnp.int32)
    return jax.eval_shape(CLIP(config).init, jax.random.key(0), pixels, ids)["params"]


def random_params(config: CLIPConfig, seed=0) -> dict:
    """All leaves random, so that no scale is 1 and no bias 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(0.1, 0.3, leaf.shape).astype(np.float32), shapes(config)
    )


def random_input(seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(3, 24, 24, 3)).astype(np.float32)
    ids = rng.integers(1, 98, size=(4, 12)).astype(np.int32)
    ids[np.arange(4), [11, 3, 7, 5]] = 98
    return pixels, ids


def error(ours, expected) -> float:
    return float(np.abs(ours - expected).max() / np.abs(expected).max())


def flax_clip(ours: CLIPConfig):
    """transformers' Flax CLIP of the same sizes, without parameters of its own."""
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxCLIPModel"):
        pytest.skip("this transformers has no Flax models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.CLIPConfig(**to_huggingface(ours))
        return transformers.FlaxCLIPModel(theirs, input_shape=((1, 12), (1, 24, 24, 3)))


def test_parameter_names_and_shapes_are_those_of_flax_clip():
    ours = {path: leaf.shape for path, leaf in flatten_dict(shapes(config()), sep="/").items()}
    model = flax_clip(config())
    theirs = {path: x.shape for path, x in flatten_dict(dict(model.params), sep="/").items()}
    assert ours == theirs


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("eos", [98, 2])
def test_features_are_those_of_flax_clip(act, eos):
    ours = config(act, eos)
    params, (pixels, ids) = random_params(ours), random_input()
    reference = flax_clip(ours)
    theirs = reference.get_image_features(pixels.transpose(0, 3, 1, 2), params=params)
    image = CLIP(ours).apply({"params": params}, pixels, method="encode_image")
    assert error(image, theirs) < 1e-5
    mask = (np.cumsum(ids == 98, axis=1) - (ids == 98) == 0).astype(np.int32)
    theirs = reference.get_text_features(ids, mask, params=params)
    text = CLIP(ours).apply({"params": params}, ids, method="encode_text")
    assert error(text, theirs) < 1e-5
    logits = reference(ids, pixels.transpose(0, 3, 1, 2), mask, params=params).logits_per_image
    assert error(CLIP(ours).apply({"params": params}, pixels, ids), logits) < 1e-5


def test_a_tower_takes_its_own_branches_of_the_tree():
    params, (pixels, ids) = random_params(config()), random_input()
    image = CLIP(config()).apply({"params": params}, pixels, method="encode_image")
    branches = {name: params[name] for name in ("vision_model", "visual_projection")}
    assert np.array_equal(CLIPVision(config()).apply({"params": branches}, pixels), image)
    text = CLIP(config()).apply({"params": params}, ids, method="encode_text")
    branches = {name: params[name] for name in ("text_model", "text_projection")}
    assert np.array_equal(CLIPText(config()).apply({"params": branches}, ids), text)


def test_padding_has_no_influence_but_the_text_has():
    params, (_, ids) = random_params(config()), random_input()
    model, variables = CLIP(config()), {"params": params}
    encode = jax.jit(lambda ids: model.apply(variables, ids, method="encode_text"))
    padded = np.where(np.cumsum(ids == 98, axis=1) - (ids == 98) > 0, 0, ids)
    np.testing.assert_allclose(encode(ids), encode(padded), rtol=1e-5)
    changed = padded.copy()
    changed[:, 1] = 50
    assert (np.abs(np.asarray(encode(changed) - encode(padded))).max(axis=1) > 1e-3).all()


def test_end_position():
    ids = jnp.array([[7, 3, 98, 5, 98], [98, 99, 1, 1, 1]])
    assert end_position(ids, 98).tolist() == [2, 0]
    assert end_position(ids, 2).tolist() == [2, 1]


def test_quick_gelu_is_the_published_formula():
    x = np.linspace(-4, 4, 33)
    np.testing.assert_allclose(quick_gelu(jnp.asarray(x)), x / (1 + np.exp(-1.702 * x)), 1e-5)


def test_bfloat16_computes_near_float32_with_float32_parameters():
    params, (pixels, _) = random_params(config()), random_input()
    branches = {name: params[name] for name in ("vision_model", "visual_projection")}
    exact = CLIPVision(config()).apply({"params": branches}, pixels)
    model = CLIPVision(config(), dtype=jnp.bfloat16)
    half = model.apply({"params": branches}, pixels)
    assert half.dtype == jnp.bfloat16
    assert 1e-5 < error(half.astype(jnp.float32), exact) < 0.05
    made = jax.eval_shape(model.init, jax.random.key(0), pixels)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("shape", [(2, 32, 24, 3), (2, 24, 24, 1), (24, 24, 3)])
def test_images_of_another_size_are_refused(shape):
    params = {name: random_params(config())[name] for name in ("vision_model", "visual_projection")}
    with pytest.raises(ConfigError, match=r"\[N, 24, 24, 3\]"):
        CLIPVision(config()).apply({"params": params}, jnp.zeros(shape))


def test_too_many_tokens_are_refused():
    params = {name: random_params(config())[name] for name in ("text_model", "text_projection")}
    with pytest.raises(ConfigError, match="13 tokens.*at most 12"):
        CLIPText(config()).apply({"params": params}, jnp.ones((1, 13), jnp.int32))


def test_parameter_counts_of_vit_b16():
    # Sums over the shapes in OpenAI's ViT-B/16 archive.
    full = from_huggingface({"vision_config": {"patch_size": 16}})
    flat = flatten_dict(shapes(full), sep="/")
    counts = {path: math.prod(leaf.shape) for path, leaf in flat.items()}
    assert sum(counts.values()) == 149_620_737
    assert sum(n for path, n in counts.items() if path.startswith("vis")) == 86_192_640
