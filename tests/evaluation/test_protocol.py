"""Episodes from features: right whatever the chunk and the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from mdmf_jax.evaluation.protocol import EpisodeEvaluator
from mdmf_jax.models.output import EpisodeOutput

WAY, SHOT, EACH, FRAMES, WIDTH, VIDEOS, CLASSES = 3, 2, 2, 2, 4, 40, 8
TRACES = []


def head(params, support, query, prompts, *, train, rngs):
    """Nearest class mean; the prompt is drawn and shifts the scores a little."""
    TRACES.append(support.shape)
    assert not train
    means, queries = support.mean((1, 2)) @ params, query.mean(1) @ params
    logits = -((queries[:, None, :] - means[None, :, :]) ** 2).sum(-1)
    drawn = jax.random.uniform(rngs["prompt"], query.shape[:1])
    choice = (drawn * prompts.shape[0]).astype(jnp.int32)
    return EpisodeOutput(logits + 0.1 * queries @ prompts.T, {}, {"prompt_choice": choice})


def mesh(data):
    types = (AxisType.Auto, AxisType.Auto)
    devices = jax.devices()[:data]
    return jax.make_mesh((data, 1), ("data", "model"), axis_types=types, devices=devices)


@pytest.fixture
def case(strict_ranks):
    rng = np.random.default_rng(0)
    count, queries = 23, WAY * EACH
    episodes = {
        "class_ids": np.stack([rng.permutation(CLASSES)[:WAY] for _ in range(count)]),
        "support": rng.integers(0, VIDEOS, (count, WAY, SHOT)),
        "query": rng.integers(0, VIDEOS, (count, queries)),
        "index": np.arange(5, 5 + count),
    }
    features = rng.normal(size=(VIDEOS, FRAMES, WIDTH)).astype(np.float32)
    table = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    params = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
    return params, features, table, episodes, jax.random.key(4)


def test_answers_are_those_of_one_episode_after_the_other(case):
    params, features, table, episodes, key = case
    answers = EpisodeEvaluator(head, mesh(1), chunk=10)(*case)
    assert answers["prediction"].shape == answers["prompt_choice"].shape == (23, WAY * EACH)
    for n, index in enumerate(episodes["index"]):
        output = head(
            params,
            features[episodes["support"][n]],
            features[episodes["query"][n]],
            table[episodes["class_ids"][n]],
            train=False,
            rngs={"prompt": jax.random.fold_in(key, index)},
        )
        np.testing.assert_array_equal(answers["prediction"][n], np.argmax(output.logits, -1))
        choice = output.diagnostics["prompt_choice"]
        np.testing.assert_array_equal(answers["prompt_choice"][n], choice)


@pytest.mark.parametrize(("chunk", "devices"), [(1, 1), (7, 1), (23, 1), (100, 1), (7, 8)])
def test_chunks_and_devices_change_nothing(case, chunk, devices):
    expected = EpisodeEvaluator(head, mesh(1), chunk=10)(*case)
    answers = EpisodeEvaluator(head, mesh(devices), chunk=chunk)(*case)
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value)


def test_the_last_chunk_and_other_parts_need_no_new_compilation(case):
    params, features, table, episodes, key = case
    evaluate = EpisodeEvaluator(head, mesh(1), chunk=10)
    TRACES.clear()
    evaluate(*case)
    evaluate(params, features[:30], table[:6], {n: v % 6 for n, v in episodes.items()}, key)
    assert len(TRACES) == 1


def test_draws_depend_on_the_key(case):
    evaluate = EpisodeEvaluator(head, mesh(1), chunk=10)
    first, again = evaluate(*case), evaluate(*case)
    other = evaluate(*case[:-1], jax.random.key(5))
    np.testing.assert_array_equal(first["prompt_choice"], again["prompt_choice"])
    assert (first["prompt_choice"] != other["prompt_choice"]).any()
