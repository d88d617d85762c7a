"""A small encoder and head, so that the tests of training compile in a moment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.models.methods.output import EpisodeOutput

PIXELS, WIDTH = 2 * 2 * 3, 8


def encode(params, frames):
    """Linear features of uint8 frames. [N, 2, 2, 3] -> [N, 8]."""
    flat = frames.reshape(frames.shape[0], -1).astype(jnp.float32) / 255
    return jnp.tanh(flat @ params["visual_projection"]["kernel"])


def head(
    params, support, query, prompts, *, query_labels=None, class_ids=None, class_table=None,
    train=False, rngs=None,
):  # fmt: skip
    """Distances to class means after a linear map with dropout; the prompt is drawn."""

    def project(features, key):
        if train:
            kept = jax.random.bernoulli(key, 0.9, features.shape)
            features = jnp.where(kept, features / 0.9, 0)
        return features @ params["fc1"]["kernel"]

    keys = jax.random.split(rngs["dropout"]) if train else (None, None)
    means = project(support.mean((1, 2)), keys[0])  # [W, D]
    queries = project(query.mean(1), keys[1])  # [Q, D]
    logits = -((queries[:, None, :] - means[None, :, :]) ** 2).sum(-1)
    drawn = jax.random.uniform(rngs["prompt"], query.shape[:1])
    choice = (drawn * prompts.shape[0]).astype(jnp.int32)
    losses = {}
    if query_labels is not None:
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), query_labels[:, None], axis=1)
        losses = {"cross_entropy": -picked.mean(), "total": 2 * -picked.mean()}
    return EpisodeOutput(logits, losses, {"prompt_choice": choice})


def init_head(key):
    return {"fc1": {"kernel": jax.random.normal(key, (WIDTH, WIDTH))}}


def batch(episodes, seed=0, way=3, shot=2, queries=2, frames=4):
    """Random episodes; the pixels of a class lie around a level of their own."""
    rng = np.random.default_rng(seed)
    levels = rng.permuted(np.tile(np.linspace(40, 200, way), (episodes, 1)), axis=1)
    labels = np.tile(np.repeat(np.arange(way, dtype=np.int32), queries), (episodes, 1))

    def videos(levels):  # [E, ...] -> [E, ..., T, 2, 2, 3]
        noise = rng.normal(0, 30, (*levels.shape, frames, 2, 2, 3))
        return np.clip(levels[..., None, None, None, None] + noise, 0, 255).astype(np.uint8)

    return {
        "support": videos(np.repeat(levels[:, :, None], shot, axis=2)),
        "query": videos(np.take_along_axis(levels, labels, axis=1)),
        "query_labels": labels,
        "class_ids": rng.integers(0, 5, (episodes, way), dtype=np.int32),
    }


class Stand:
    """The stand-ins and a batch of 8 episodes."""

    encode = staticmethod(encode)
    head = staticmethod(head)
    init_head = staticmethod(init_head)
    batch = staticmethod(batch)
    encoder_params = {
        "visual_projection": {
            "kernel": np.random.default_rng(1).normal(size=(PIXELS, WIDTH)).astype(np.float32)
        }
    }
    class_table = np.random.default_rng(2).normal(size=(5, WIDTH)).astype(np.float32)


@pytest.fixture
def stand(strict_ranks):
    return Stand
