"""Features besides the frames: patches, and tokens of chosen blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_tower import block, error, exact, layer_norm, random_like

from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.mean_pool import MeanPool, MeanPoolConfig
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.pretrained import Pretrained

BLOCKS, HEADS = 3, 2
TEXT = TextConfig(8, 16, 1, 2, vocab_size=20)
VIT = CLIPConfig(VisionConfig(8, 16, BLOCKS, HEADS, image_size=16, patch_size=8), TEXT, 6)
RESNET = CLIPConfig(ResNetConfig((1, 1, 1, 1), 4, 2, 64), TEXT, 6)
TOKENS = ("tokens_3", "tokens_0", "tokens_1", "tokens_2")
ALL = ("patches", "frames", *TOKENS, "projected_3", "projected_0", "projected_2")
IMAGES = np.random.default_rng(1).normal(size=(4, 16, 16, 3)).astype(np.float32)


def random_tower(config):
    side = config.vision.image_size
    shapes = jax.eval_shape(
        CLIPVision(config).init, jax.random.key(0), jnp.zeros((1, side, side, 3))
    )
    return random_like(shapes["params"])


@pytest.fixture(scope="module")
def params():
    return random_tower(VIT)


def features(params, wanted, images=IMAGES, **options):
    tower = CLIPVision(VIT, wanted=wanted, **options)
    return tower.apply({"params": params}, images, method="features")


def in_numpy(params):
    """Tokens before and behind each block, and the projected ones."""
    p = exact(params)
    vision = p["vision_model"]
    cells = exact(IMAGES).reshape(4, 2, 8, 2, 8, 3).transpose(0, 1, 3, 2, 4, 5)
    kernel = vision["embeddings"]["patch_embedding"]["kernel"]
    patches = np.einsum("nyxijc,ijcd->nyxd", cells, kernel).reshape(4, 4, 8)
    token = np.broadcast_to(vision["embeddings"]["class_embedding"], (4, 1, 8))
    x = np.concatenate([token, patches], axis=1)
    x = layer_norm(
        vision["pre_layrnorm"], x + vision["embeddings"]["position_embedding"]["embedding"]
    )
    found = {"tokens_0": x}
    for index in range(BLOCKS):
        x = block(vision["encoder"]["layers"][str(index)], x, HEADS)
        found[f"tokens_{index + 1}"] = x
    last = layer_norm(vision["post_layernorm"], x) @ p["visual_projection"]["kernel"]
    for name in TOKENS:
        normed = layer_norm(vision["post_layernorm"], found[name])
        found[name.replace("tokens", "projected")] = normed @ p["visual_projection"]["kernel"]
    return found | {"frames": last[:, 0], "patches": last[:, 1:]}


@pytest.mark.parametrize("options", [{}, {"remat": True, "scan": True}], ids=["unrolled", "loops"])
def test_all_features_are_those_of_numpy(params, options):
    ours, expected = features(params, ALL, **options), in_numpy(params)
    assert tuple(ours) == ALL
    for name in ALL:
        assert error(ours[name], expected[name]) < 1e-5, name
    shapes = {name: x.shape for name, x in ours.items()}
    assert shapes["frames"] == (4, 6) and shapes["patches"] == (4, 4, 6)
    assert {shapes[f"tokens_{index}"] for index in range(4)} == {(4, 5, 8)}


def test_only_what_is_wanted_is_given_whatever_else_is(params):
    whole = features(params, ALL)
    for wanted in (
        ("frames",),
        ("tokens_1",),
        ("patches",),
        ("frames", "tokens_3"),
        ("projected_3",),
    ):
        ours = features(params, wanted)
        assert tuple(ours) == wanted
        for name, x in ours.items():
            np.testing.assert_allclose(x, whole[name], rtol=1e-5, atol=1e-5)


def test_an_encoder_gives_them_by_video(params):
    frames = np.random.default_rng(2).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    encoder = CLIPEncoder(CLIPOptions(dtype="bfloat16"), VIT, wanted=ALL)
    ours = encoder.apply({"params": params}, {"rgb": frames}, method="videos")
    pixels = normalise(frames.reshape(4, 16, 16, 3), "clip")
    for name, x in features(params, ALL, pixels, dtype=jnp.bfloat16).items():
        assert x.dtype == jnp.bfloat16
        assert ours[name].dtype == jnp.float32
        expected = x.astype(jnp.float32).reshape(2, 2, *x.shape[1:])
        np.testing.assert_array_equal(ours[name], expected)


@pytest.mark.parametrize(
    ("config", "name", "message"),
    [
        (VIT, "layers", "asks needs the features layers, which the encoder clip does not make"),
        (VIT, "tokens_4", "'tokens_4': this CLIP has 3 blocks"),
        (VIT, "projected_4", "'projected_4': this CLIP has 3 blocks"),
        (VIT, "tokens_-1", "asks needs the features tokens_-1, which the encoder clip does not"),
        (RESNET, "tokens_1", "'tokens_1' is unknown to this CLIP; known: frames, patches(?!,)"),
    ],
)
def test_an_unknown_feature_is_refused(config, name, message, monkeypatch):
    class Asks(MeanPool):
        uses = ("frames", name)

    monkeypatch.setitem(METHODS, "asks", Asks)
    settings = ModelSettings("asks", MeanPoolConfig(), "clip", CLIPOptions(), 2)
    with pytest.raises(ConfigError, match=message) as found:
        _ = FewShotModel(settings, Pretrained(config, random_tower(config), None)).shapes
    assert "\n" not in str(found.value)
