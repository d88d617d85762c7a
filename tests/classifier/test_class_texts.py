"""Several texts for each class of a classifier: from a bank, given, or by template."""

import dataclasses
import json

import numpy as np
import pytest

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.classifier.model import pretrained
from mdmf_jax.classifier.support import SupportClass, SupportSet
from mdmf_jax.classifier.texts import texts_of_classes
from mdmf_jax.data.settings import TextsSection
from mdmf_jax.errors import DataError

BANK = {"test red box": ["is red", "has a colour"], "Test Green Box": ["is green"]}


@pytest.fixture
def model(clip_folder, tmp_path):
    (tmp_path / "bank.json").write_text(json.dumps(BANK))
    made = pretrained(str(clip_folder), "zero_shot")
    texts = TextsSection(str(tmp_path / "bank.json"), "{class} {text}")
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, texts=texts))


def test_where_texts_come_from(model):
    names = ["test_green_box", "TestRedBox", "wink", "smile"]
    texts, lines = texts_of_classes(model.settings, names, {"smile": "a grin"})
    assert texts == [
        ["test green box is green"],
        ["test red box is red", "test red box has a colour"],
        ["a photo of wink"],
        ["a grin"],
    ]
    bank = model.settings.texts.descriptions
    assert lines == [f"class 'wink' has no texts in {bank}; 'a photo of wink' stands for it"]
    several = dataclasses.replace(model.settings, texts=TextsSection(prompts=("a {}", "the {}")))
    found = texts_of_classes(several, ["kick_ball"], {"other": ("x", "y")})
    assert found == ([["a kick ball", "the kick ball"]], [])


def test_a_classifier_with_a_bank(model, videos, tmp_path):
    fitted = FewShotClassifier(model).fit(
        videos / "test", prompts={"test_blue_box": ["blue", "a blue one"]}
    )
    assert fitted.notes_ == []
    classes = fitted._support.classes
    assert classes["test_red_box"].prompt == "test red box is red / test red box has a colour"
    singly = model.stages.texts([["blue"], ["a blue one"]])
    np.testing.assert_allclose(classes["test_blue_box"].text, singly.mean(0), rtol=1e-4, atol=1e-6)
    fitted.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    np.testing.assert_array_equal(loaded.predict_proba(asked), fitted.predict_proba(asked))
    # What is learnt later needs the bank, too.
    some = sorted((videos / "test/test_red_box").glob("*.mp4"))
    loaded.remove_class("test_red_box")
    loaded.add_class("test_red_box", some)
    np.testing.assert_array_equal(loaded.predict_proba(asked)[:, -1], fitted_red(fitted, asked))
    (tmp_path / "bank.json").unlink()
    loaded.remove_class("test_red_box")
    with pytest.raises(DataError, match="give those of 'test_red_box' as prompts, or put the bank"):
        loaded.add_class("test_red_box", some)
    loaded.add_class("test_red_box", some, ["is red", "has a colour"])


def fitted_red(fitted, asked):
    return fitted.predict_proba(asked)[:, fitted.classes_.index("test_red_box")]


def test_classes_with_unequal_numbers_of_texts():
    """For a method that takes several: zeros where there are fewer."""
    rng = np.random.default_rng(0)
    texts = [rng.normal(size=(2, 4)), rng.normal(size=(3, 4))]
    support = SupportSet(
        {str(i): SupportClass("", text, {}, [], np.zeros(0)) for i, text in enumerate(texts)}
    )
    assert support.texts.shape == (2, 3, 4)
    np.testing.assert_array_equal(support.texts[0], [*texts[0], np.zeros(4)])
    np.testing.assert_array_equal(support.texts[1], texts[1])
