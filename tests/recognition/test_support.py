"""Logits of padded support sets against the method itself, called without padding."""

import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.evaluation.stages import Stages
from mdmf_jax.models.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.models.mdmf import MDMF, MDMFConfig
from mdmf_jax.recognition.support import SupportClass, SupportSet, leave_one_out, query_logits

T, D = 4, 16
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


def direct(method, params, features, texts, query):
    """Logits of one query by the method as it is, with a mask where shots are missing."""
    most = max(map(len, features))
    mask = np.arange(most) < np.array([[len(f)] for f in features])
    padded = np.stack([np.concatenate([f, np.ones((most - len(f), T, D))]) for f in features])
    output = method.apply(
        {"params": params},
        jnp.asarray(padded, jnp.float32),
        query[None],
        texts,
        support_mask=jnp.asarray(mask),
    )
    return np.asarray(output.logits[0])


METHODS = {
    "mdmf": MDMF(MDMFConfig(**SMALL)),
    "combined": CLIPFSAR(CLIPFSARConfig(**SMALL, at_test="combined")),
}


@pytest.fixture(scope="module", params=METHODS)
def ready(request, episode, clip_folder):
    import jax

    from mdmf_jax.weights.huggingface import load_clip

    method = METHODS[request.param]
    features, texts, queries = episode
    support = jnp.zeros((3, 1, T, D))
    params = jax.jit(method.init)({"params": jax.random.key(1)}, support, queries, texts)["params"]
    return method, params, Stages(load_clip(clip_folder), method, params, "clip")


def test_logits_are_those_of_the_method(ready, episode):
    method, params, stages = ready
    features, texts, queries = episode
    found = query_logits(stages, support_of(features, texts), queries)
    expected = np.stack([direct(method, params, features, texts, q) for q in queries])
    if isinstance(method, CLIPFSAR):
        expected = np.log(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_leave_one_out_really_leaves_it_out(ready, episode):
    method, params, stages = ready
    features, texts, _ = episode
    logits, labels, foreign = leave_one_out(stages, support_of(features, texts))
    assert labels.tolist() == [0, 0, 2, 2, 2]
    rest = [features[0], features[1], features[2][[0, 2]]]
    expected = direct(method, params, rest, texts, features[2][1])
    others = direct(method, params, features[:2], texts[:2], features[2][1])
    if isinstance(method, CLIPFSAR):
        expected, others = np.log(expected), np.log(others)
    np.testing.assert_allclose(logits[3], expected, rtol=1e-4, atol=1e-4)
    assert foreign.shape == (6, 2)
    np.testing.assert_allclose(foreign[4], others, rtol=1e-4, atol=1e-4)
