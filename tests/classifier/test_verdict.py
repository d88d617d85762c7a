"""The verdict on a classifier: against brute force and scipy, and on noise."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from mdmf_jax.classifier import verdict as v
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.data.videos.video import read_video

NAMES = ["a", "b", "c"]


def judged(nearest, labels, way=3, **more):
    logits = np.eye(way)[nearest]
    sources = [f"{i}.mp4" for i in range(len(labels))]
    names = [chr(ord("a") + i) for i in range(way)]
    return v.judge(logits, np.array(labels), names, sources, origin="leave_one_out", **more)


def test_even_answers_are_compared_with_equal_guesses():
    """Where no class is favoured, chance is 1 / W: the binomial distribution."""
    labels = np.repeat(np.arange(3), 40)
    for wrong in (3, 20, 30):
        nearest = labels.copy()
        nearest[np.arange(3)[:, None] * 40 + np.arange(wrong)] += 1
        nearest %= 3
        right = 120 - 3 * wrong
        called = (wrong + 1) / 83
        expected = binom.sf(right - 1, 120, max(called, 1 / 3))
        assert v.tail_probability(labels, nearest, 3) == pytest.approx(expected, rel=1e-6)


def test_unequal_chances_are_summed_by_brute_force():
    labels, nearest = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 1, 0])
    # Class 0 is what two of the three others are called, b and c none of their others.
    chances = [(2 + 1) / (3 + 3)] * 3 + [1 / 3] * 3
    expected = 0.0
    for outcome in product((0, 1), repeat=6):
        share = np.prod([p if hit else 1 - p for p, hit in zip(chances, outcome, strict=True)])
        expected += share * (sum(outcome) >= 4)
    assert v.tail_probability(labels, nearest, 3) == pytest.approx(expected)


def test_always_naming_the_largest_class_is_no_evidence():
    labels = np.repeat([0, 1, 2], [10, 3, 3])
    nearest = np.zeros(16, int)
    assert binom.sf(9, 16, 1 / 3) < 0.03  # equal guesses would make it look like knowledge
    assert v.tail_probability(labels, nearest, 3) > 0.2
    assert judged(nearest, labels).word == v.NOTHING


def test_words():
    labels = [0] * 5 + [1] * 5 + [2] * 5
    all_right = judged(labels, labels)
    assert (all_right.word, all_right.right, all_right.evidence) == (v.WORKS, 15, True)
    assert all_right.line() == (
        "verdict: works; 15 of 15 clips left out one by one recognised, 5 by chance"
    )
    some = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 1]
    assert judged(some, labels).word == v.WORKS  # 11 of 15
    few = [0, 0, 0, 1, 2, 1, 1, 1, 2, 0, 2, 2, 2, 0, 1]
    nothing = judged(few, labels)  # 9 of 15
    assert (nothing.word, nothing.evidence) == (v.NOTHING, False)
    assert "9 of 15" in nothing.line() and "5 by chance" in nothing.line()
    assert "not above chance" in nothing.line() and "unknown" in nothing.line()


def test_weak_is_above_chance_and_less_than_half_way_to_perfection():
    labels = np.repeat(np.arange(10), 6)
    nearest = np.where(np.arange(60) % 6 < 2, labels, (labels + 1 + np.arange(60) % 6) % 10)
    found = judged(nearest, labels, way=10)
    assert (found.word, found.right, found.evidence) == (v.WEAK, 20, True)
    assert "many answers will be wrong" in found.line()


def test_too_few_to_be_judged():
    """All of two clips of two classes right is one chance in sixteen."""
    two = judged([0, 0, 1, 1], [0, 0, 1, 1], way=2)
    assert two.word == v.UNJUDGED and "could be luck" in two.line() and not two.evidence
    assert judged([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], way=2).word == v.WORKS
    none = judged([], [], unjudged="one clip a class")
    assert none.word == v.UNJUDGED and none.line().startswith(
        "verdict: cannot be judged; one clip a class; every answer is 'unknown'"
    )


def test_classes_and_confusions():
    found = judged([0, 1, 1, 1, 2, 1], [0, 0, 0, 1, 2, 2])
    assert found.per_class() == {"a": (1, 3), "b": (1, 1), "c": (1, 2)}
    assert found.confusions() == [("a", "b", 2), ("c", "b", 1)]
    assert [video.margin for video in found.videos] == [1, -1, -1, 1, 1, -1]
    text = "\n".join(found.lines())
    assert "a: 1 of 3 recognised" in text and "2 of 'a' taken for 'b'" in text


def test_it_is_read_as_it_was_written():
    found = judged([0, 1, 1, 1, 2, 1], [0, 0, 0, 1, 2, 2])
    assert v.verdict_from_dict(found.to_dict()) == found
    with pytest.raises(KeyError):
        v.verdict_from_dict(found.to_dict() | {"word": "splendid"})


@pytest.fixture(scope="module")
def noise():
    """Clips that nothing tells apart, uint8 [N, 4, 16, 16, 3]."""
    return np.random.default_rng(0).integers(0, 256, (70, 4, 16, 16, 3)).astype(np.uint8)


def test_random_labels_are_found_out(clip_folder, noise):
    """20 draws of 5 clips of each of 3 classes: 19 say so, 5% of the answers at most are not
    "unknown"."""
    rng, said, known = np.random.default_rng(1), 0, []
    classifier = FewShotClassifier.from_pretrained(clip_folder, "otam")
    for _ in range(20):
        order = rng.permutation(len(noise))
        classifier.fit(list(noise[order[:15]]), np.repeat(NAMES, 5).tolist())
        said += classifier.verdict_.word == v.NOTHING
        known += [a != "unknown" for a in classifier.predict(list(noise[order[15:30]]))]
    assert said >= 19
    assert len(known) == 300 and np.mean(known) <= 0.05


def test_one_clip_a_class_cannot_be_judged(tiny_model, by_class):
    videos = {name: paths[:1] for name, paths in by_class.items()}
    rest = {name: paths[1:3] for name, paths in by_class.items()}
    queries = [paths[3] for paths in by_class.values()]
    classifier = FewShotClassifier(tiny_model).fit(videos)
    assert classifier.verdict_.word == v.UNJUDGED
    assert "one clip a class" in classifier.verdict_.line()
    answers = classifier.predictions(queries)
    assert [a.label for a in answers] == ["unknown"] * 3
    assert [a.nearest for a in answers] == list(by_class)
    # Other clips can judge it.
    classifier.calibrate(rest)
    assert (classifier.verdict_.word, classifier.verdict_.origin) == (v.WORKS, "validation")
    assert [a.label for a in classifier.predictions(queries)].count("unknown") < 3


def test_the_verdict_is_saved(tiny_model, support_folder, tmp_path):
    fitted = FewShotClassifier(tiny_model).fit(support_folder)
    fitted.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    assert loaded.verdict_ == fitted.verdict_ and loaded.verdict_.word == v.WORKS
    assert loaded.calibration_.evidence is True


def test_without_evidence_nothing_is_known_anywhere(tiny_model, support_folder, by_class):
    """Predictions, figures, searches and explanations ask the same function."""
    classifier = FewShotClassifier(tiny_model).fit(support_folder)
    query = by_class["test_red_box"][3]
    made = replace(classifier.calibration_, threshold=-1e9)
    for evidence in (True, False):
        classifier._calibration = replace(made, evidence=evidence)
        known = classifier.predict([query])[0] != "unknown"
        figures = classifier.evaluate([query], ["test_red_box"])
        spans = classifier.search(read_video(query), window=0.5, rate=10.0)
        told = classifier.explain(query)
        assert known == (figures["coverage"] == 1) == bool(spans) == told["accepted"] == evidence


def test_no_information_makes_no_probabilities(tiny_model, support_folder, by_class):
    classifier = FewShotClassifier(tiny_model).fit(support_folder)
    classifier._calibration = replace(
        classifier.calibration_, temperature=None, threshold=-1e9, evidence=True
    )
    answer = classifier.predictions(by_class["test_red_box"][:1])[0]
    assert answer.probability == pytest.approx(1 / 3) and answer.label == "unknown"
