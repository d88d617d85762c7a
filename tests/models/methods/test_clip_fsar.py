"""CLIP-FSAR's options; its numbers are checked against the published code in tests/parity."""

from dataclasses import replace
from functools import cache, partial

import jax
import numpy as np

from mdmf_jax.models.methods.clip_fsar import CLIPFSAR, CLIPFSARConfig

SMALL = CLIPFSARConfig(heads=2, hidden=16, bidirectional=False)
WAY, SHOT, QUERIES, FRAMES, FEATURES = 3, 2, 6, 4, 8
LABELS = np.arange(QUERIES) % WAY


def episode(shot=SHOT):
    rng = np.random.default_rng(0)
    shapes = ((WAY, shot, FRAMES, FEATURES), (QUERIES, FRAMES, FEATURES), (WAY, FEATURES))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def features(inputs):
    support, query, prompts = inputs
    return {"frames": support}, {"frames": query}, prompts


@partial(jax.jit, static_argnames=("config", "train"))
def run(config, inputs, train=False, **options):
    rngs = {"dropout": jax.random.key(0)}
    return CLIPFSAR(config).apply(params(), *features(inputs), train=train, rngs=rngs, **options)


@cache
def params():
    with jax.ensure_compile_time_eval():  # even if asked for while `run` is traced
        return jax.jit(CLIPFSAR(SMALL).init)(jax.random.key(0), *features(episode()))


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_order_of_averaging_matters_with_several_shots_only():
    for shot, same in ((1, True), (2, False)):
        after, before = (
            run(replace(SMALL, merge_before=merge), episode(shot)).logits for merge in (False, True)
        )
        assert np.allclose(after, before, atol=1e-5) is same


def test_text_alone_ignores_the_supports():
    support, query, prompts = episode()
    config = replace(SMALL, at_test="text")
    logits = run(config, [support, query, prompts]).logits
    np.testing.assert_array_equal(logits, run(config, [support[::-1], query, prompts]).logits)
    video, text = (x / np.linalg.norm(x, axis=-1)[:, None] for x in (query.mean(1), prompts))
    np.testing.assert_allclose(logits, np.exp(log_softmax(video @ text.T)), rtol=1e-5)


def test_the_coefficient_weighs_text_against_alignment():
    inputs = episode()
    by_text = run(replace(SMALL, at_test="text"), inputs).logits
    by_frames = np.exp(log_softmax(run(SMALL, inputs).logits / FRAMES))
    for coefficient in (0.0, 0.3, 1.0):
        config = replace(SMALL, at_test="combined", text_coefficient=coefficient)
        expected = by_text**coefficient * by_frames ** (1 - coefficient)
        np.testing.assert_allclose(run(config, inputs).logits, expected, rtol=1e-5)


def test_training_classifies_by_the_alignment_with_dropout():
    config = replace(SMALL, at_test="text", attention_dropout=0.0, ffn_dropout=0.0)
    inputs = episode()
    trained = run(config, inputs, train=True).logits
    np.testing.assert_allclose(trained, run(SMALL, inputs).logits, rtol=1e-5)
    assert not np.allclose(trained, run(SMALL, inputs, train=True).logits)


def test_losses():
    config = replace(SMALL, class_weight=0.5, query_weight=2.0)
    support, query, prompts = episode()
    table = np.random.default_rng(3).standard_normal((7, FEATURES)).astype(np.float32)
    class_ids = np.array([4, 0, 6])
    output = run(
        config,
        [support, query, prompts],
        query_labels=LABELS,
        class_ids=class_ids,
        class_texts=table,
    )
    losses = output.losses
    videos = np.concatenate([support.reshape(-1, FRAMES, FEATURES), query]).mean(1)
    norms = np.linalg.norm(videos, axis=-1)[:, None] * np.linalg.norm(table, axis=-1)
    scores = log_softmax(videos @ table.T / (norms + 0.01))
    real = np.concatenate([np.repeat(class_ids, SHOT), class_ids[LABELS]])
    np.testing.assert_allclose(losses["class"], -scores[np.arange(len(real)), real].mean(), 1e-5)
    right = log_softmax(np.asarray(output.logits))[np.arange(QUERIES), LABELS]
    np.testing.assert_allclose(losses["cross_entropy"], -right.mean(), rtol=1e-5)
    total = 2 * losses["cross_entropy"] + 0.5 * losses["class"]
    np.testing.assert_allclose(losses["total"], total, rtol=1e-6)
    assert run(SMALL, [support, query, prompts]).losses == {}
