"""FewShotModel: shapes, and an episode from pixels, from features and in stages."""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.layers.adapter import Adapter, EpisodeSizes
from mdmf_jax.models.methods.mdmf import MDMFConfig
from mdmf_jax.models.methods.mean_pool import MeanPoolConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.pretrained import load_pretrained

WAY, SHOT, QUERIES, FRAMES, CLASSES = 2, 2, 3, 3, 4
MEAN_POOL = ModelSettings("mean_pool", MeanPoolConfig(), "clip", CLIPOptions(), FRAMES)
MDMF = replace(MEAN_POOL, method="mdmf", head=MDMFConfig(heads=2, hidden=16))


class Scale(Adapter):
    @nn.compact
    def after_block(self, x, context):
        return x * self.param("scale", nn.initializers.normal(1.0), (x.shape[-1],))


class Adapted(CLIPEncoder):
    """Adapters in the blocks of both towers."""

    @nn.nowrap
    def adapter(self, tower, block):
        return Scale


@pytest.fixture(scope="module")
def pretrained(clip_folder):
    return load_pretrained("clip", clip_folder)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENCODERS, "adapted", Adapted)


@pytest.mark.parametrize("settings", [MDMF, replace(MEAN_POOL, encoder_name="adapted")])
def test_shapes_are_known_without_making_parameters(settings, pretrained):
    model = FewShotModel(replace(settings, train_classes=CLASSES), pretrained)
    made = jax.jit(model.init)(jax.random.key(0))
    for shapes in (model.shapes, jax.eval_shape(model.init, jax.random.key(0))):
        assert jax.tree.structure(shapes) == jax.tree.structure(made)
        described = jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
        assert described == jax.tree.map(lambda x: (x.shape, x.dtype), made)
    found = model.encode(made, {"rgb": episode()["query"]["rgb"]})
    assert {n: (x.shape[1:], x.dtype) for n, x in found.items()} == {
        n: (x.shape, x.dtype) for n, x in model.feature_shapes.items()
    }


def episode():
    """Pixels of an episode of the classes 3 and 1."""
    rng = np.random.default_rng(0)
    shapes = {"support": (WAY, SHOT), "query": (QUERIES,)}
    videos = {
        name: {"rgb": rng.integers(0, 256, (*shape, FRAMES, 16, 16, 3), np.uint8)}
        for name, shape in shapes.items()
    }
    return videos | {"query_labels": np.array([0, 1, 1]), "class_ids": np.array([3, 1])}


def features_of(model, params, videos):
    """Features of each video, encoded alone."""
    flat = videos["rgb"].reshape(-1, *videos["rgb"].shape[-4:])
    alone = [model.encode(params, {"rgb": video[None]})["frames"][0] for video in flat]
    return {"frames": np.stack(alone).reshape(*videos["rgb"].shape[:-4], FRAMES, -1)}


def test_an_episode_of_pixels_is_that_of_their_features_and_of_the_stages(pretrained):
    model = FewShotModel(MDMF, pretrained)
    params = jax.jit(model.init)(jax.random.key(0))
    table = jnp.asarray(np.random.default_rng(1).normal(size=(CLASSES, 16)), jnp.float32)
    pixels = episode()
    support, query = (features_of(model, params, pixels[name]) for name in ("support", "query"))
    features = pixels | {"support": support, "query": query}
    run = jax.jit(lambda params, one, texts: model.episode(params, one, texts)[:2])
    logits, losses = run(params, pixels, table)
    ours, own_losses = run(params, features, table)
    np.testing.assert_allclose(logits, ours, rtol=1e-4, atol=1e-5)
    assert losses.keys() == own_losses.keys() >= {"total", "class", "cross_entropy"}
    for name, loss in losses.items():
        np.testing.assert_allclose(loss, own_losses[name], rtol=1e-4, atol=1e-5)
    assert losses["class"] > 0
    # Without numbers of classes, the texts are those of the episode's classes.
    bare = {name: features[name] for name in ("support", "query", "query_labels")}
    bare_logits, bare_losses = run(params, bare, table[pixels["class_ids"]])
    np.testing.assert_allclose(bare_logits, logits, rtol=1e-4, atol=1e-5)
    assert bare_losses["class"] == 0

    texts = table[pixels["class_ids"]]
    scores = model.stage("class_text_logits")(params, query, texts)
    choice, _ = model.stage("choose_prompts")(params, scores)
    flat = {"frames": support["frames"].reshape(-1, FRAMES, 16)}
    supports = model.stage("encode_support")(params, flat, texts.repeat(SHOT, axis=0))
    supports = jax.tree.map(lambda x: x.reshape(WAY, SHOT, *x.shape[1:]), supports)
    queries = model.stage("encode_query")(params, query, texts[choice])
    staged, _ = model.stage("match")(params, supports, queries, texts)
    np.testing.assert_allclose(staged, logits, rtol=1e-4, atol=1e-5)
    found = model.stage("encode")(params, {"rgb": pixels["query"]["rgb"]})
    np.testing.assert_allclose(found["frames"], query["frames"], rtol=1e-4, atol=1e-5)


class WholeEpisodes(CLIPEncoder):
    """Adds the mean of the texts to every feature; remembers what it was given."""

    seen: ClassVar[list] = []

    @property
    def unit(self):
        return "episode"

    def videos(self, videos, texts=None, *, train=False, episode=None):
        self.seen.append((episode, None if texts is None else texts.shape, videos["rgb"]))
        found = super().videos(videos, train=train)
        added = 0.0 if texts is None else texts.mean((0, 1))
        return {name: x + added for name, x in found.items()}


def test_an_encoder_of_whole_episodes_sees_supports_then_queries(pretrained, monkeypatch):
    monkeypatch.setitem(ENCODERS, "whole", WholeEpisodes)
    settings = replace(MEAN_POOL, head=MeanPoolConfig(metric="squared"))
    model = FewShotModel(replace(settings, encoder_name="whole"), pretrained)
    params, table = (
        model.init(jax.random.key(0)),
        10 * jnp.arange(CLASSES * 16.0).reshape(CLASSES, 16),
    )
    pixels = episode()
    WholeEpisodes.seen.clear()
    logits = model.episode(params, pixels, table).logits
    ((sizes, texts, videos),) = WholeEpisodes.seen
    assert (sizes, texts) == (EpisodeSizes(WAY, SHOT), (WAY, 1, 16))
    flat = pixels["support"]["rgb"].reshape(-1, FRAMES, 16, 16, 3)
    np.testing.assert_array_equal(videos, np.concatenate([flat, pixels["query"]["rgb"]]))
    # What is added to all videos alike changes no difference.
    plain = FewShotModel(settings, pretrained).episode(params, pixels, table).logits
    np.testing.assert_allclose(logits, plain, rtol=1e-2, atol=1e-2)


def test_a_model_in_bfloat16_encodes_in_bfloat16(pretrained):
    videos = {"rgb": episode()["query"]["rgb"]}
    found = []
    for dtype in ("float32", "bfloat16"):
        model = FewShotModel(replace(MEAN_POOL, encoder=CLIPOptions(dtype=dtype)), pretrained)
        params = model.init(jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
        found.append(np.asarray(model.encode(params, videos)["frames"]))
    assert found[1].dtype == np.float32
    exactly, half = found
    np.testing.assert_array_equal(half, half.astype(jnp.bfloat16).astype(np.float32))
    error = np.abs(half - exactly).max() / np.abs(exactly).max()
    assert 1e-4 < error < 0.1
