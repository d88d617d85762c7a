"""Metrics against loops in plain Python."""

import math

import numpy as np
import pytest

from mdmf_jax.evaluation.metrics import episode_metrics, interval95


@pytest.fixture
def case():
    rng, count, way, shot, each, classes = np.random.default_rng(3), 50, 4, 2, 3, 6
    labels = np.tile(np.repeat(np.arange(way), each), (count, 1))
    episodes = {
        "class_ids": np.stack([rng.permutation(classes)[:way] for _ in range(count)]),
        "support": np.zeros((count, way, shot), int),
        "query_labels": labels,
    }
    answers = {name: rng.integers(0, way, labels.shape) for name in ("prediction", "prompt_choice")}
    return answers, episodes, [f"class {i}" for i in range(classes)]


def test_shares_are_those_of_a_plain_count(case):
    answers, episodes, names = case
    by_class = {name: [] for name in names}
    accuracies, prompts = [], []
    for n, row in enumerate(episodes["query_labels"]):
        hits = [int(answers["prediction"][n, q] == label) for q, label in enumerate(row)]
        accuracies.append(sum(hits) / len(hits))
        prompts += [int(answers["prompt_choice"][n, q] == label) for q, label in enumerate(row)]
        for hit, label in zip(hits, row, strict=True):
            by_class[names[episodes["class_ids"][n, label]]].append(hit)
    mean = sum(accuracies) / len(accuracies)
    spread = math.sqrt(sum((a - mean) ** 2 for a in accuracies) / len(accuracies))

    metrics = episode_metrics(answers, episodes, names)
    assert metrics["accuracy"] == pytest.approx(mean)
    assert metrics["interval95"] == pytest.approx(1.96 * spread / math.sqrt(len(accuracies)))
    assert metrics["prompt_accuracy"] == pytest.approx(sum(prompts) / len(prompts))
    assert metrics["per_class"] == pytest.approx({n: sum(h) / len(h) for n, h in by_class.items()})
    sizes = {name: metrics[name] for name in ("episodes", "way", "shot", "queries")}
    assert sizes == {"episodes": 50, "way": 4, "shot": 2, "queries": 3}


def test_classes_that_did_not_occur_are_left_out(case):
    answers, episodes, names = case
    metrics = episode_metrics(answers, episodes, [*names, "absent"])
    assert sorted(metrics["per_class"]) == names


def test_methods_without_prompts_have_no_prompt_accuracy(case):
    answers, episodes, names = case
    metrics = episode_metrics({"prediction": answers["prediction"]}, episodes, names)
    assert metrics["prompt_accuracy"] is None


def test_interval_of_a_known_sample():
    # Half zeros and half ones have a standard deviation of exactly 0.5.
    assert interval95(np.array([0.0, 1.0] * 50)) == pytest.approx(1.96 * 0.5 / 10)
    assert interval95(np.full(10, 0.4)) == pytest.approx(0)
