"""Logits of padded support sets against the method itself, called without padding."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.evaluation.stages import Stages
from mdmf_jax.models.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.models.mdmf import MDMF, MDMFConfig
from mdmf_jax.recognition.support import SupportClass, SupportSet, leave_one_out, query_logits
from mdmf_jax.weights.huggingface import load_clip

T, D = 3, 16
SMALL = {"heads": 2, "hidden": 16, "bidirectional": False}


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
            n: SupportClass(n, t, f, [""] * len(f), None)
            for n, f, t in zip(names, features, texts, strict=True)
        }
    )


def direct(program, params, features, texts, queries):
    """Logits of queries by the method as it is, with a mask where shots are missing."""
    mask = np.arange(3) < np.array([[len(f)] for f in features])
    padded = np.stack([np.concatenate([f, np.ones((3 - len(f), T, D))]) for f in features])
    return np.asarray(program(params, padded.astype(np.float32), queries, texts, mask))


METHODS = {
    "mdmf": MDMF(MDMFConfig(**SMALL, views="local")),
    "combined": CLIPFSAR(CLIPFSARConfig(**SMALL, at_test="combined")),
}


class Ready(NamedTuple):
    """A method compiled as it is, and in stages; `scale` makes logits of its answers."""

    program: Callable
    params: Any
    stages: Stages
    scale: Callable


@pytest.fixture(scope="module", params=METHODS)
def ready(request, episode, clip_folder):
    method, (_, texts, queries) = METHODS[request.param], episode
    init = jax.jit(method.init)(
        {"params": jax.random.key(1)}, jnp.zeros((3, 1, T, D)), queries, texts
    )

    def program(params, support, queries, texts, mask):
        options = {"support_mask": mask}
        return method.apply({"params": params}, support, queries, texts, **options).logits

    params = init["params"]
    stages = Stages(load_clip(clip_folder), method, params, "clip")
    return Ready(
        jax.jit(program), params, stages, np.log if request.param == "combined" else np.copy
    )


def test_logits_are_those_of_the_method(ready, episode):
    features, texts, queries = episode
    found = query_logits(ready.stages, support_of(features, texts), queries)
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
