"""Paired differences against loops in plain Python."""

import math

import numpy as np
import pytest

from mdmf_jax.comparison.statistics import compare_answers, paired_difference

COUNT, WAY, EACH, CLASSES = 60, 3, 2, 5


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    labels = np.tile(np.repeat(np.arange(WAY), EACH), (COUNT, 1))
    episodes = {
        "class_ids": np.stack([rng.permutation(CLASSES)[:WAY] for _ in range(COUNT)]),
        "support": np.zeros((COUNT, WAY, 1), int),
        "query": rng.integers(0, 20, labels.shape),
        "query_labels": labels,
    }

    def answers(share):
        guessed = rng.integers(0, WAY, labels.shape)
        return {"prediction": np.where(rng.random(labels.shape) < share, labels, guessed)}

    given = {"first": answers(0.8), "second": answers(0.5), "third": answers(0.1)}
    return given, episodes, [f"class {i}" for i in range(CLASSES)]


def mean_and_width(values):
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return pytest.approx({"mean": mean, "interval95": 1.96 * spread / math.sqrt(len(values))})


def test_differences_are_those_of_the_single_episodes(case):
    answers, episodes, names = case
    compared = compare_answers(answers, episodes, names)
    assert list(compared) == ["first", "second", "third"]
    for method in answers:
        total, by_class = [], {name: [] for name in names}
        for n in range(COUNT):
            hits = {"first": [], method: []}
            in_class = {}
            for q, label in enumerate(episodes["query_labels"][n]):
                name = names[episodes["class_ids"][n, label]]
                for m in hits:
                    hit = int(answers[m]["prediction"][n, q] == label)
                    hits[m].append(hit)
                    in_class.setdefault((m, name), []).append(hit)
            total.append((sum(hits[method]) - sum(hits["first"])) / (WAY * EACH))
            for m, name in in_class:
                if m == method:
                    pair = in_class[method, name], in_class["first", name]
                    by_class[name].append((sum(pair[0]) - sum(pair[1])) / EACH)
        assert compared[method]["difference"] == mean_and_width(total)
        for name in names:
            assert compared[method]["class_difference"][name] == mean_and_width(by_class[name])
    own = compared["second"]["accuracy"] - compared["first"]["accuracy"]
    assert compared["second"]["difference"]["mean"] == pytest.approx(own)


def test_a_class_that_never_occurs_has_no_difference(case):
    answers, episodes, names = case
    compared = compare_answers(answers, episodes, [*names, "absent"])
    assert set(compared["second"]["class_difference"]) == set(names)


def test_a_constant_difference_is_certain():
    base = np.random.default_rng(0).random(50)
    found = paired_difference(base + 0.25, base)
    assert found["mean"] == pytest.approx(0.25)
    assert found["interval95"] == pytest.approx(0, abs=1e-12)
