"""Banks of descriptions in all their forms, and what is wrong with others."""

import json

import pytest
import yaml

from mdmf_jax.data.demo.dataset import demo_classes
from mdmf_jax.data.descriptions import Bank, bank_text, empty_bank, read_bank
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.errors import DataError

TEXTS = {"brush hair": ["one", "two"], "Kick_Ball": ["three"]}
CLASSES = [("brush_hair",), ("kick ball",)]
EXPECTED = [("one", "two"), ("three",)]

FORMS = {
    "plain.json": TEXTS,
    "by_split.json": {"train": {"brush hair": ["one", "two"]}, "test": {"Kick_Ball": "three"}},
    "actions.json": {n: {"label": 3, "sub_act_en_li": own} for n, own in TEXTS.items()},
    "texts.json": {n: {"texts": [*own, " "]} for n, own in TEXTS.items()},
    "actions.yml": {n: {"label": 3, "sub_act_en_li": own} for n, own in TEXTS.items()},
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name, tmp_path):
    write = json.dumps if name.endswith("json") else yaml.safe_dump
    (tmp_path / name).write_text(write(FORMS[name]))
    for path in (tmp_path / name, tmp_path):
        assert read_bank(str(path)).texts_of(CLASSES) == EXPECTED


def test_a_folder_of_files(tmp_path):
    for number, (name, own) in enumerate(TEXTS.items()):
        (tmp_path / f"{number}.json").write_text(json.dumps({name: own}))
    (tmp_path / "notes.txt").write_text("not a bank")
    assert read_bank(str(tmp_path)).texts_of(CLASSES) == EXPECTED


def test_a_class_may_be_called_as_a_split(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"train": ["a locomotive"], "test": ["an exam"]}))
    assert read_bank(str(tmp_path / "b.json")).find(["train"]) == ("a locomotive",)
    own = {"train": {"texts": ["a locomotive"]}}
    (tmp_path / "b.json").write_text(json.dumps(own))
    assert read_bank(str(tmp_path / "b.json")).find(["Train"]) == ("a locomotive",)


def test_any_of_the_names_of_a_class_will_do():
    bank = Bank("b", [("Pushing [something]", ["text"]), ("jouer à la balle", ["autre"])])
    assert bank.find(("push it", "pushing something")) == ("text",)
    assert bank.find(("Jouer_à_la_balle",)) == ("autre",) and bank.find(("jouer la balle",)) is None


def test_missing_and_extra_classes_are_in_one_line():
    bank = Bank("bank.json", [*TEXTS.items(), ("wink", [])])
    with pytest.raises(DataError) as error:
        bank.texts_of([("brush hair",), ("smile",), ("wink",)])
    assert str(error.value) == (
        "bank.json: has no texts for 2 of 3 classes ('smile', 'wink'); its classes that are none "
        "of them: 'Kick_Ball'"
    )
    assert bank.extra(CLASSES) == ["wink"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a b": ["x"], "A_B": ["y"]}', "has different texts for 'a b' and 'A_B', which are the"),
        ('{"a": [1]}', "'a' must have a list of texts, or an object with one called sub_act_en_li"),
        ('{"a": {"label": 3}}', "'a' must have a list of texts"),
        ('["a"]', "expected a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_other_files(content, message, tmp_path):
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_bank(str(tmp_path / "b.json"))


def test_missing_files(tmp_path):
    for path, message in ((tmp_path / "none.json", "none.json"), (tmp_path, "holds no file that")):
        with pytest.raises(DataError, match=message):
            read_bank(str(path))
    (tmp_path / "b.yaml").write_text("{a: [")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        read_bank(str(tmp_path / "b.yaml"))


def test_an_empty_bank_holds_every_class_once(tmp_path):
    known = protocols.load("ucf101_arn")
    classes = {s: [c.name for c in known.classes_of(s)] for s in ("train", "val", "test")}
    bank = empty_bank(classes, 2)
    (tmp_path / "b.json").write_text(bank_text(bank))
    assert sum(map(len, bank.values())) == 101
    assert all(own == ["", ""] for part in bank.values() for own in part.values())
    aliases = [(name,) for own in classes.values() for name in own]
    read = read_bank(str(tmp_path / "b.json"))
    with pytest.raises(DataError, match="has no texts for 101 of 101 classes"):
        read.texts_of(aliases)
    assert read.extra(aliases) == []


def test_the_demo_has_a_bank():
    classes = [(f"{a} then {b}",) for s in ("train", "val", "test") for a, b in demo_classes(s)]
    bank = read_bank("packaged:demo")
    texts = bank.texts_of(classes)
    assert bank.extra(classes) == [] and {len(own) for own in texts} == {3}
    # The texts of a class and those of its reverse differ, since only the order tells them apart.
    assert len({text for own in texts for text in own}) == 3 * len(classes)
