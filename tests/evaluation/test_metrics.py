"""Metrics against loops in plain Python."""

import math

import numpy as np
import pytest

from mdmf_jax.evaluation.metrics import (
    above_chance,
    episode_metrics,
    interval95,
    videos_interval95,
)


@pytest.fixture
def case():
    rng, count, way, shot, each, classes = np.random.default_rng(3), 50, 4, 2, 3, 6
    labels = np.tile(np.repeat(np.arange(way), each), (count, 1))
    episodes = {
        "class_ids": np.stack([rng.permutation(classes)[:way] for _ in range(count)]),
        "support": np.zeros((count, way, shot), int),
        "query": rng.integers(0, 9, labels.shape),
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


def test_the_interval_over_videos_is_that_of_an_average_over_clusters():
    # One answer a video: the ordinary standard error with ddof 1. Repeats of it add nothing.
    rng = np.random.default_rng(0)
    right, videos = rng.random((40, 1)) < 0.4, np.arange(40)[:, None]
    expected = 1.96 * right.std(ddof=1) / math.sqrt(40)
    assert videos_interval95(right, videos) == pytest.approx(expected)
    many = np.tile(right, (25, 1)), np.tile(videos, (25, 1))
    assert videos_interval95(*many) == pytest.approx(expected)
    assert interval95(many[0].mean(1)) < expected / 4
    assert videos_interval95(right[:1], videos[:1]) is None


def test_guessing_is_not_above_chance():
    """Answers that follow the video and not the class, to 20 videos in 2,000 episodes."""
    told = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        query = rng.integers(0, 20, (2000, 4))
        labels = np.tile(np.arange(4), (2000, 1))
        given = rng.integers(0, 4, 20)[query]  # always the same answer to a video
        episodes = {
            "class_ids": labels,
            "support": np.zeros((2000, 4, 1), int),
            "query": query,
            "query_labels": np.asarray(query % 4),
        }
        metrics = episode_metrics({"prediction": given}, episodes, list("abcd"))
        assert metrics["videos"] == 20 and metrics["chance"] == 0.25
        told.append(
            (above_chance(metrics, 0.25), metrics["accuracy"] - metrics["interval95"] > 0.25)
        )
    assert np.mean([both for both, _ in told]) <= 0.1
    assert np.mean([one for _, one in told]) > 0.25  # as the interval over episodes alone says
