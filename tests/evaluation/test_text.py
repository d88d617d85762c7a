"""Class names to class texts to text features."""

import json
import re

import numpy as np
import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.data.settings import TextsSection
from mdmf_jax.errors import ConfigError, UserError
from mdmf_jax.evaluation.text import ClassTable, class_texts, class_texts_of
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.registry import config_class
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.huggingface import load_clip


def test_tables_hold_the_features_of_the_prompts(clip_folder):
    clip = load_clip(clip_folder)
    names = {"val": ("red box", "x"), "test": ("blue box",)}
    options, head = CLIPOptions(path=str(clip_folder)), config_class("zero_shot")()
    model = FewShotModel(ModelSettings("zero_shot", head, "clip", options, frames=3))
    texts = {split: class_texts_of("a photo of {}", own) for split, own in names.items()}
    table = ClassTable(model, texts)
    start = {"encoder": model.start, "head": {}}
    tables = {split: table.features(start, split) for split in names}
    assert {split: found.shape for split, found in tables.items()} == {
        "val": (2, 16),
        "test": (1, 16),
    }
    ids = clip.tokenizer(["a photo of blue box"], 77)
    params = {name: clip.params[name] for name in ("text_model", "text_projection")}
    alone = CLIPText(clip.config).apply({"params": params}, ids)
    np.testing.assert_allclose(tables["test"], alone, rtol=1e-4, atol=1e-5)


def test_texts_of_a_bank(tmp_path, capsys):
    bank = {
        "red box": ["is red", "has corners"],
        "x": ["is x"],
        "Blue_Box": ["is blue"],
        "y": ["z"],
    }
    (tmp_path / "bank.json").write_text(json.dumps(bank))
    classes = {"val": [("red box",), ("a name", "x")], "test": [("blue box",)]}
    section = TextsSection(str(tmp_path / "bank.json"), "{class}: {text}")
    found = class_texts(section, "a photo of {}", classes)
    assert found == {
        "val": [["red box: is red", "red box: has corners"], ["a name: is x"]],
        "test": [["blue box: is blue"]],
    }
    assert "has texts for classes that are in no split: 'y'" in capsys.readouterr().err
    class_texts(section, "a photo of {}", classes)
    assert capsys.readouterr().err == ""  # said once


def test_texts_of_templates():
    classes = {"val": [("red box", "red_box")], "test": []}
    several = TextsSection(prompts=("a {}", "the {}"))
    assert class_texts(several, "{}", classes)["val"] == [["a red box", "the red box"]]
    assert class_texts(TextsSection(), "one {}", classes)["val"] == [["one red box"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": ("a photo",)}, "texts.prompts: 'a photo' must contain {}"),
        ({"sentence": "{class}"}, "texts.sentence is '{class}'; it must contain {text}"),
        ({"prompts": ("{}",), "descriptions": "b.json"}, "are both set; take one of them"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    settings = get_config()
    settings.texts.update(changes)
    with pytest.raises(ConfigError, match=re.escape(message)):
        from_config_dict(settings)


def test_long_texts_are_cut_on_demand():
    tokenizer = Tokenizer.openai()
    text = "a photo of " + "hair " * 100
    with pytest.raises(UserError, match="at most 77 fit"):
        tokenizer([text], 77)
    whole, cut = tokenizer([text], 200)[0], tokenizer([text], 77, cut=True)[0]
    np.testing.assert_array_equal(cut[:-1], whole[:76])
    assert cut[-1] == tokenizer.end


def test_a_table_of_several_texts(clip_folder):
    """Features of unequally many texts: their means, each text alone."""
    options, head = CLIPOptions(path=str(clip_folder)), config_class("zero_shot")()
    model = FewShotModel(ModelSettings("zero_shot", head, "clip", options, frames=3))
    texts = [["a", "b c", "d"], ["e"]]
    start = {"encoder": model.start, "head": {}}
    alone = ClassTable(model, {"test": [[text] for own in texts for text in own]})
    singly = alone.features(start, "test")
    table = ClassTable(model, {"test": texts}).features(start, "test")
    np.testing.assert_allclose(table[0], singly[:3].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(table[1], singly[3], rtol=1e-4, atol=1e-6)
