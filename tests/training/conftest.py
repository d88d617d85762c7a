"""A small encoder and head, so that the tests of training compile in a moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.steps import ClassTexts

PIXELS, WIDTH, FRAMES = 2 * 2 * 3, 8, 4
KERNEL = np.random.default_rng(1).normal(size=(PIXELS, WIDTH)).astype(np.float32)


def encode(params, frames):
    """Linear features of uint8 frames. [N, 2, 2, 3] -> [N, 8]."""
    flat = frames.reshape(frames.shape[0], -1).astype(jnp.float32) / 255
    return jnp.tanh(flat @ params["visual_projection"]["kernel"])


class Kernel(nn.Module):
    """Gives its only parameter."""

    start: Callable
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self):
        return self.param("kernel", self.start, self.shape)


class SmallEncoder(Encoder):
    """`encode` of every frame. uint8 [N, T, 2, 2, 3] -> [N, T, 8]."""

    encode: ClassVar[Callable] = staticmethod(encode)
    has_texts: ClassVar[bool] = False

    def setup(self):
        self.visual_projection = Kernel(lambda key, shape: jnp.asarray(KERNEL), KERNEL.shape)

    @property
    def width(self):
        return WIDTH

    @property
    def image_size(self):
        return 2

    def videos(self, videos, texts=None, *, train=False, episode=None):
        frames = videos["rgb"]
        params = {"visual_projection": {"kernel": self.visual_projection()}}
        found = self.encode(params, frames.reshape(-1, *frames.shape[2:]))
        return {"frames": found.reshape(*frames.shape[:2], -1)}


@dataclass(frozen=True)
class SmallOptions:
    """Shape of the head's kernel, of which only the corner [8, 8] is used."""

    shape: tuple[int, int] = (WIDTH, WIDTH)


class SmallMethod(FewShotMethod):
    """Distances to class means after a linear map with dropout; the prompt is drawn."""

    Config: ClassVar[type] = SmallOptions
    rngs: ClassVar[tuple[str, ...]] = ("dropout", "prompt")

    config: SmallOptions = SmallOptions()

    def setup(self):
        self.fc1 = Kernel(nn.initializers.normal(1.0), self.config.shape)

    @property
    def needs_texts(self):
        return False

    def __call__(self, support, query, prompts, *, query_labels=None, train=False, **_):
        keys = jax.random.split(self.make_rng("dropout")) if train else (None, None)
        means = self.project(support["frames"].mean((1, 2)), keys[0])  # [W, D]
        queries = self.project(query["frames"].mean(1), keys[1])  # [Q, D]
        logits = -((queries[:, None, :] - means[None, :, :]) ** 2).sum(-1)
        diagnostics, losses = {}, {}
        if train:
            drawn = jax.random.uniform(self.make_rng("prompt"), queries.shape[:1])
            diagnostics["prompt_choice"] = (drawn * prompts.shape[0]).astype(jnp.int32)
        if query_labels is not None:
            picked = jnp.take_along_axis(jax.nn.log_softmax(logits), query_labels[:, None], axis=1)
            losses = {"cross_entropy": -picked.mean(), "total": 2 * -picked.mean()}
        return EpisodeOutput(logits, losses, diagnostics)

    def project(self, features, key):
        if key is not None:
            kept = jax.random.bernoulli(key, 0.9, features.shape)
            features = jnp.where(kept, features / 0.9, 0)
        return features @ self.fc1()[:WIDTH, :WIDTH]


def model(encoder: type[Encoder] = SmallEncoder, shape=(WIDTH, WIDTH)) -> FewShotModel:
    """Both together; an encoder's class may be given."""
    settings = ModelSettings("small", SmallOptions(shape), "small", None, FRAMES, 5)
    with mock.patch.dict(ENCODERS, small=encoder), mock.patch.dict(METHODS, small=SmallMethod):
        return FewShotModel(settings)


def encoder_with(function: Callable, **attributes: Any) -> type[Encoder]:
    """The small encoder with another `encode`."""
    return type("Changed", (SmallEncoder,), {"encode": staticmethod(function)} | attributes)


def batch(episodes, seed=0, way=3, shot=2, queries=2, frames=FRAMES):
    """Random episodes; the pixels of a class lie around a level of their own."""
    rng = np.random.default_rng(seed)
    levels = rng.permuted(np.tile(np.linspace(40, 200, way), (episodes, 1)), axis=1)
    labels = np.tile(np.repeat(np.arange(way, dtype=np.int32), queries), (episodes, 1))

    def videos(levels):  # [E, ...] -> [E, ..., T, 2, 2, 3]
        noise = rng.normal(0, 30, (*levels.shape, frames, 2, 2, 3))
        return np.clip(levels[..., None, None, None, None] + noise, 0, 255).astype(np.uint8)

    return {
        "support": {"rgb": videos(np.repeat(levels[:, :, None], shot, axis=2))},
        "query": {"rgb": videos(np.take_along_axis(levels, labels, axis=1))},
        "query_labels": labels,
        "class_ids": rng.integers(0, 5, (episodes, way), dtype=np.int32),
    }


class Stand:
    """The stand-ins, class texts, and a batch of episodes."""

    Encoder = SmallEncoder
    encode = staticmethod(encode)
    encoder_with = staticmethod(encoder_with)
    model = staticmethod(model)
    batch = staticmethod(batch)
    texts = ClassTexts(np.random.default_rng(2).normal(size=(5, WIDTH)).astype(np.float32))


@pytest.fixture
def stand(strict_ranks):
    return Stand
