"""Calibration and figures against brute force and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import norm

from mdmf_jax.classifier import calibration as c
from mdmf_jax.classifier.scoring import evaluation


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_auroc_counts_pairs(rng):
    inside, outside = rng.integers(0, 6, 17), rng.integers(-2, 5, 11)
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    assert c.auroc(inside, outside) == pytest.approx(np.mean(pairs))
    assert c.auroc(np.array([2.0, 3.0]), np.array([0.0])) == 1.0
    assert c.auroc(np.array([1.0]), np.array([1.0])) == 0.5


def test_accuracy_coverage_of_every_threshold(rng):
    scores, right = rng.integers(0, 5, 30).astype(float), rng.random(30) < 0.6
    curve = c.accuracy_coverage(scores, right)
    expected = []
    for threshold in sorted(set(scores), reverse=True):
        accepted = scores >= threshold
        expected.append((threshold, accepted.mean(), right[accepted].mean()))
    found = zip(curve["threshold"], curve["coverage"], curve["accuracy"], strict=True)
    np.testing.assert_allclose(list(found), expected)


def test_calibration_error_bin_by_bin(rng):
    confidence, right = rng.random(200), rng.random(200) < 0.5
    confidence[:3] = 0.0, 1.0, 2 / 15
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if i == 0:
            inside |= confidence == 0
        if inside.any():
            expected += inside.sum() / 200 * abs(right[inside].mean() - confidence[inside].mean())
    assert c.calibration_error(confidence, right) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_temperature_is_the_minimum(rng, scale):
    labels = rng.integers(0, 4, 40)
    logits = scale * (rng.normal(size=(40, 4)) + 1.5 * np.eye(4)[labels])
    targets = np.full((40, 4), 1 / 42 / 3)
    targets[np.arange(40), labels] = 41 / 42

    def loss(log_t):
        return -(targets * log_softmax(logits / np.exp(log_t), -1)).sum(-1).mean()

    middle = np.log(scale)
    best = minimize_scalar(loss, bounds=(middle - 4, middle + 4), method="bounded")
    assert c.fit_temperature(logits, labels) == pytest.approx(np.exp(best.x), rel=1e-3)


def test_few_videos_that_are_all_right_do_not_give_certainty():
    logits = np.array([[5.0, 0.0], [0.0, 9.0]])
    temperature = c.fit_temperature(logits, np.array([0, 1]))
    assert 0.5 < c.softmax(logits / temperature).max(-1).mean() < 0.9


def test_threshold_accepts_the_target_share(rng):
    logits = rng.normal(size=(100, 3))
    labels = logits.argmax(-1)
    for target in (0.5, 0.9, 1.0):
        made = c.calibrate(
            logits, labels, logits[:, :2] - 3, origin="x", score="best_logit", target=target
        )
        assert (logits.max(-1) >= made.threshold).sum() == round(100 * target)
    assert made.auroc == c.auroc(logits.max(-1), logits[:, :2].max(-1) - 3)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_few_scores_have_the_quantile_of_a_normal_distribution(rng, share):
    few = rng.normal(3, 2, 12)
    expected = norm.ppf(share, few.mean(), few.std(ddof=1))
    assert c.tail_quantile(few, share) == pytest.approx(expected)
    many = rng.normal(3, 2, 120)  # enough of them tell it themselves
    assert c.tail_quantile(many, share) == np.sort(many)[round(120 * share)]
    assert c.tail_quantile(few, 0.0) == few.min()


def test_near_foreign_videos_raise_the_threshold_a_little(rng):
    inside = rng.normal(0, 1, 15)
    low, high = (c.tail_quantile(inside, share) for share in (0.05, 0.1))
    for shift, expected in ((-9, low), (9, high)):
        outside = inside + shift
        assert c.threshold_between(inside, outside, 0.95) == pytest.approx(expected)
    between = np.full(15, (low + high) / 2)
    assert c.threshold_between(inside, between, 0.95) == pytest.approx((low + high) / 2)
    assert c.threshold_between(inside, inside + 9, 1.0) == inside.min()


def test_logits_that_say_nothing_have_no_temperature(rng):
    """No temperature makes them better than equal probabilities, by a search of its own."""
    labels = np.repeat(np.arange(4), 5)
    for logits in (np.zeros((20, 4)), -3.0 * np.eye(4)[labels]):
        assert c.fit_temperature(logits, labels) is None
        made = c.calibrate(logits, labels, logits[:, :3], origin="x", score="best_logit")
        np.testing.assert_allclose(made.posteriors(logits), 0.25)
    targets = np.full((20, 4), 1 / 22 / 3)
    targets[np.arange(20), labels] = 21 / 22
    for _ in range(20):
        logits = rng.normal(size=(20, 4))
        losses = [
            -(targets * log_softmax(logits / t, -1)).sum(-1).mean() for t in np.geomspace(0.1, 1e4)
        ]
        assert (c.fit_temperature(logits, labels) is None) == (min(losses) > np.log(4) - 1e-3)


def test_what_is_accepted(rng):
    """A label needs evidence, a score and a probability above chance; each can be missing."""
    logits = np.array([[4.0, 0, 0], [0.5, 0.45, 0.4], [-1.0, -4, -4]])
    made = c.Calibration(1.0, 0.0, "best_logit", 0.95, "x", 1, 1, None, True)
    assert made.accepts(logits).tolist() == [True, False, False]
    assert not replace(made, evidence=False).accepts(logits).any()
    assert not replace(made, temperature=None).accepts(logits).any()
    # An older model, which nobody judged, has its threshold alone.
    assert replace(made, evidence=None).accepts(logits).tolist() == [True, True, False]


def test_without_known_videos_foreign_ones_are_kept_out(rng):
    foreign = rng.normal(size=(50, 3))
    none = np.zeros((0, 4)), np.zeros(0, int)
    made = c.calibrate(*none, foreign, origin="x", score="best_logit")
    assert (foreign.max(-1) < made.threshold).mean() == 0.8
    assert (made.known, made.foreign, made.auroc) == (0, 50, None)
    assert made.temperature == pytest.approx(foreign.std(-1).mean())


def test_evaluation_by_hand():
    logits = np.array([[3.0, 0], [2, 1], [0, 4], [0, 1], [1, 0.5]])
    truth = ["a", "b", "b", "b", "zebra"]
    made = c.Calibration(1.0, 1.5, "best_logit", 0.95, "x", 1, 1, None)
    found = evaluation(logits, truth, ["a", "b"], made)
    assert (found["videos"], found["known"], found["foreign"]) == (5, 4, 1)
    assert found["accuracy"] == 0.75
    assert found["coverage"] == 0.75
    assert found["accepted_accuracy"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found["open_accuracy"] == pytest.approx(3 / 5)
    assert found["rejected"] == 1.0
    assert found["labels"] == ["a", "b", "unknown"]
    assert found["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 1]]
    assert found["per_class"] == {"a": 1.0, "b": pytest.approx(2 / 3)}


def test_evaluation_of_foreign_videos_only():
    made = c.Calibration(1.0, 1.5, "best_logit", 0.95, "x", 1, 1, None)
    found = evaluation(np.array([[1.0, 0], [2, 0]]), ["x", "y"], ["a", "b"], made)
    assert (found["accuracy"], found["auroc"], found["rejected"]) == (None, None, 0.5)
