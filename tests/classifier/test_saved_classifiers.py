"""Classifiers that version 0.1.0 saved load, and predict what they did; see its README."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.errors import CheckpointError

SAVED = Path(__file__).parent / "saved_0.1.0"
ANSWERS = json.loads((SAVED / "answers.json").read_text())
COLOURS = {"red": (180, 120, 120), "green": (120, 180, 120), "blue": (120, 120, 180)}


def frames(name, seed):
    """Noise around a colour, uint8 [9, 20, 24, 3]; as the README makes it."""
    rng = np.random.default_rng(seed)
    shift, noise = rng.integers(-40, 40, 3), rng.integers(-30, 30, (9, 20, 24, 3))
    return np.clip(np.array(COLOURS[name]) + shift + noise, 0, 255).astype(np.uint8)


QUERIES = [frames(name, seed) for name in COLOURS for seed in (200, 201, 202)]


def check(classifier, expected):
    """The classifier answers as version 0.1.0 did."""
    assert classifier.classes_ == expected["classes"]
    logits, *_ = classifier._logits(QUERIES, "raise")
    np.testing.assert_allclose(logits, expected["logits"], rtol=1e-5, atol=1e-5)
    found = classifier.predict_proba(QUERIES)
    np.testing.assert_allclose(found, expected["probabilities"], rtol=1e-4, atol=1e-5)
    assert classifier.predict(QUERIES).tolist() == expected["labels"]


@pytest.mark.parametrize("method", ["otam", "mdmf"])
def test_it_predicts_what_it_did_and_so_does_a_copy_saved_today(method, tmp_path):
    classifier, expected = FewShotClassifier.load(SAVED / method), ANSWERS[method]
    assert np.ptp(expected["logits"]) > 0.01 and len(set(expected["labels"])) > 1
    check(classifier, expected)
    classifier.save(tmp_path / "today")
    assert json.loads((tmp_path / "today/model.json").read_text())["format"] == 2
    check(FewShotClassifier.load(tmp_path / "today"), expected)


def test_nobody_judged_them():
    classifier = FewShotClassifier.load(SAVED / "otam")
    assert classifier.verdict_ is None and classifier.calibration_.evidence is None
    classifier.remove_class("blue")  # what is made anew is judged
    assert classifier.verdict_ is not None and classifier.calibration_.evidence is not None


def test_settings_are_read_under_their_names_of_today():
    otam, mdmf = (FewShotClassifier.load(SAVED / name)._model.settings for name in ("otam", "mdmf"))
    assert (otam.model.head.temperature, otam.clips.test_clips) == (0.3, 1)
    assert (mdmf.model.head.matcher, mdmf.clips.test_clips) == ("tuples", 2)
    tuples = mdmf.model.sections["tuples"]
    assert (tuples.width, tuples.levels, tuples.counts) == (4, (1, 2), (3, 2))
    assert (mdmf.model.encoder.normalise, mdmf.prompt) == ("none", "a clip of {}")
    assert otam.model.encoder.normalise == "clip"


@pytest.mark.parametrize("method", ["otam", "mdmf"])
def test_a_class_learnt_again_changes_nothing(method):
    """Videos and prompts are encoded as they were."""
    classifier = FewShotClassifier.load(SAVED / method)
    calibration = classifier.calibration_
    classifier.remove_class("blue").add_class("blue", [frames("blue", 100 + i) for i in range(3)])
    classifier._calibration = calibration
    check(classifier, ANSWERS[method])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "has the format 0, this program reads 2; fit the model again"),
        ({"settings": {}}, "is not as this program writes it"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(tmp_path, change, message):
    folder = shutil.copytree(SAVED / "otam", tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | change))
    with pytest.raises(CheckpointError, match=message) as error:
        FewShotClassifier.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
