"""Logits of padded support sets against the method itself, called without padding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.classifier.leave_one_out import leave_one_out
from mdmf_jax.classifier.support import SupportClass, SupportSet, query_logits
from mdmf_jax.evaluation.compiled_method import CompiledMethod
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.ops.prototypes import class_means

T, D = 3, 16


@dataclass(frozen=True)
class Options:
    at_test: str


class Toy(FewShotMethod):
    """Chooses prompts, mixes videos with texts, and knows how to be masked."""

    Config: ClassVar[type] = Options

    config: Options

    chooses_prompts = True

    def class_text_logits(self, features, table):
        return features["frames"].mean(-2) @ table.T

    def choose_prompts(self, scores, choice=None, *, train=False):
        return scores.argmax(-1) if choice is None else choice, jax.nn.softmax(scores)

    def encode_support(self, features, texts, *, train=False):
        return {"mixed": jnp.tanh(features["frames"].mean(-2) * texts)}

    def encode_query(self, features, texts, *, train=False):
        return {"mixed": jnp.tanh(features["frames"].mean(-2) + texts)}

    def match(self, supports, queries, prompts, *, support_mask=None, train=False):
        means = class_means(supports["mixed"], support_mask) + prompts
        distance = jnp.square(queries["mixed"][:, None] - means).sum(-1)
        logits = -distance if self.config.at_test == "plain" else jax.nn.softmax(-distance)
        return logits, {"distance": distance}


@pytest.fixture(scope="module")
def episode():
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(k, T, D)).astype(np.float32) for k in (2, 1, 3)]
    texts = rng.normal(size=(3, D)).astype(np.float32)
    queries = rng.normal(size=(4, T, D)).astype(np.float32)
    return features, texts, queries


def support_of(features, texts):
    names = "abc"[: len(features)]
    return SupportSet(
        {
            n: SupportClass(n, t, {"frames": f}, [""] * len(f), None)
            for n, f, t in zip(names, features, texts, strict=True)
        }
    )


def direct(program, params, features, texts, queries):
    """Logits of queries by the method as it is, with a mask where shots are missing."""
    mask = np.arange(3) < np.array([[len(f)] for f in features])
    padded = np.stack([np.concatenate([f, np.ones((3 - len(f), T, D))]) for f in features])
    return np.asarray(program(params, padded.astype(np.float32), queries, texts, mask))


class Ready(NamedTuple):
    """A method as it is, and in stages; `scale` makes logits of its answers."""

    program: Callable
    params: Any
    stages: CompiledMethod
    scale: Callable


@pytest.fixture(scope="module", params=["plain", "text"])
def ready(request, clip_folder):
    encoder = CLIPOptions(path=str(clip_folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "toy", Toy)
        model = FewShotModel(ModelSettings("toy", Options(request.param), "clip", encoder, T))

    def program(params, support, queries, texts, mask):
        options = {"support_mask": mask}
        videos = {"frames": support}, {"frames": queries}
        return model.method.apply({"params": params}, *videos, texts, **options).logits

    stages = CompiledMethod(model, {"encoder": model.start, "head": {}})
    return Ready(program, {}, stages, np.copy if request.param == "plain" else np.log)


def test_logits_are_those_of_the_method(ready, episode):
    features, texts, queries = episode
    found = query_logits(ready.stages, support_of(features, texts), {"frames": queries})
    expected = ready.scale(direct(*ready[:2], features, texts, queries))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_leave_one_out_really_leaves_it_out(ready, episode):
    features, texts, _ = episode
    logits, labels, foreign = leave_one_out(ready.stages, support_of(features, texts))
    assert labels.tolist() == [0, 0, 2, 2, 2]
    left_out = np.stack([features[2][1]] * 4)  # as many as before, for the same program
    rest = [features[0], features[1], features[2][[0, 2]]]
    expected = ready.scale(direct(*ready[:2], rest, texts, left_out))[0]
    np.testing.assert_allclose(logits[3], expected, rtol=1e-4, atol=1e-4)
    assert foreign.shape == (6, 2)
    expected = ready.scale(direct(*ready[:2], features[:2], texts[:2], left_out))[0]
    np.testing.assert_allclose(foreign[4], expected, rtol=1e-4, atol=1e-4)
