"""The protocols as they are shipped, and how classes are found."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.protocol import match_folders
from mdmf_jax.errors import ConfigError, DataError

NAMES = ["hmdb51_arn", "kinetics_cmn", "ssv2_cmn", "ssv2_otam", "ucf101_arn"]
# Classes and videos of train, val and test, as published.
SIZES = {
    "hmdb51_arn": [(31, 4280), (10, 1194), (10, 1292)],
    "ucf101_arn": [(70, 9154), (10, 1421), (21, 2745)],
    "kinetics_cmn": [(64, 6400), (12, 1200), (24, 2400)],
    "ssv2_cmn": [(64, 6400), (12, 1200), (24, 2400)],
    "ssv2_otam": [(64, 67013), (12, 1926), (24, 2857)],
}


def test_names():
    assert protocols.names() == NAMES
    with pytest.raises(ConfigError, match="'hmdb' is unknown; known: hmdb51_arn, kinetics_cmn"):
        protocols.load("hmdb")
    with pytest.raises(ConfigError, match="unknown"):
        protocols.load("../splits/hmdb51_arn")


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_consistency(name):
    protocol = protocols.load(name)
    sizes = []
    for split in ("train", "val", "test"):
        classes = protocol.classes_of(split)
        sizes.append((len(classes), sum(c.count for c in classes)))
        contents = protocol.contents[split, "standard"]
        assert {c.folder: c.count for c in classes} == {f: n for f, (n, _) in contents.items()}
        assert sorted(c.number for c in classes) == list(range(len(classes)))
    assert sizes == SIZES[name]
    assert protocol.left_right == name.startswith("ssv2")
    assert protocol.address.startswith("https://github.com/")
    for class_ in protocol.classes:
        assert not re.search(r"[\[\]_]|  |^ | $", class_.name + class_.prompt)
    assert any(known.origin == protocol.address for known in protocol.lists)


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_found_however_it_is_written(name):
    protocol = protocols.load(name)
    for class_ in protocol.classes:
        words = class_.name.split()
        camel = "".join(word[:1].upper() + word[1:] for word in words)
        brackets = " ".join(f"[{w}]" if w.strip(",") == "something" else w for w in words)
        label = [] if class_.label is None else [str(class_.label), f"{class_.label:03d}"]
        texts = [class_.name, class_.name.upper(), "_".join(words), camel, brackets, *label]
        for text in [*texts, class_.folder, f" {class_.folder} ", f"{class_.split}{class_.number}"]:
            assert protocol.find(text) is class_, text
    for text in ["", "no such class", "9999", "test99", "１２", "train", "9" * 30]:
        assert protocol.find(text) is None


@pytest.mark.parametrize(
    ("name", "text", "folder", "label"),
    [
        ("hmdb51_arn", "Kick Ball", "kick_ball", None),
        ("ucf101_arn", "apply eye makeup", "ApplyEyeMakeup", None),
        ("ucf101_arn", "Blow DryHair", "BlowDryHair", None),
        ("ucf101_arn", "HandStandPushups", "HandstandPushups", None),
        ("kinetics_cmn", "hurling_(sport)", "hurling (sport)", None),
        ("kinetics_cmn", "playing ice_hockey", "playing ice hockey", None),
        ("ssv2_otam", "Picking [something] up", "47", 47),
        ("ssv2_otam", "train0", "3", 3),
        ("ssv2_cmn", "134", "Something falling like a feather or paper", 134),
    ],
)
def test_find(name, text, folder, label):
    found = protocols.load(name).find(text)
    assert (found.folder, found.label) == (folder, label)


def test_classes_are_ordered_by_folder():
    numbers = [int(c.folder) for c in protocols.load("ssv2_otam").classes_of("test")]
    assert numbers[:4] == [0, 7, 11, 12] and numbers == sorted(numbers)
    folders = [c.folder for c in protocols.load("ucf101_arn").classes_of("train")]
    assert folders == sorted(folders)


def test_folders_of_a_split():
    protocol = protocols.load("kinetics_cmn")
    classes = protocol.classes_of("test")
    folders = [c.folder.replace(" ", "_") for c in protocol.classes] + ["abseiling", "zumba"]
    matched = match_folders(protocol, "test", reversed(folders))
    assert list(matched) == sorted(c.folder.replace(" ", "_") for c in classes)
    assert matched["hurling_(sport)"].name == "hurling (sport)"


def test_folders_without_partner():
    protocol = protocols.load("hmdb51_arn")
    folders = [c.folder for c in protocol.classes if c.folder not in ("kick", "walk")]
    match_folders(protocol, "val", folders)
    with pytest.raises(DataError, match=r"1 of 10 classes have no folder \('kick'\).*: 'kicks'"):
        match_folders(protocol, "test", [*folders, "kicks"])
    with pytest.raises(DataError, match="'Pour' and 'pour' are both class 'pour'"):
        match_folders(protocol, "test", [*folders, "kick", "Pour"])
    with pytest.raises(DataError, match="10 of 10 classes have no folder .*and 5 more"):
        match_folders(protocol, "test", [])


def test_same_video():
    kinetics, ssv2 = protocols.load("kinetics_cmn"), protocols.load("ssv2_otam")
    assert kinetics.same_video("-kYzxMKp514_000086_000096") == "-kYzxMKp514"
    assert kinetics.same_video("-kYzxMKp514") == "-kYzxMKp514"
    assert ssv2.same_video("123456789ab_000086_000096") == "123456789ab_000086_000096"


def test_manifests_hold_facts_only(repository):
    size = sum(path.stat().st_size for path in (repository / "splits").rglob("*.*"))
    assert size < 200_000
    for path in (repository / "splits").glob("*/protocol.json"):
        for known in json.loads(path.read_text())["lists"]:
            assert re.fullmatch("[0-9a-f]{64}", known["sha256"])


def test_protocols_are_in_the_wheel(repository, tmp_path):
    pytest.importorskip("setuptools", reason="building a wheel needs it")
    wanted = ("mdmf_jax", "splits", "pyproject.toml", "README.md", "LICENSE", "requirements.txt")
    for name in wanted:
        source, target = repository / name, tmp_path / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-q"]
    target = tmp_path / "installed"
    subprocess.run([*pip, "--target", target, tmp_path / "source"], check=True)
    code = "from mdmf_jax.data.protocols import protocol as p; print(p.__file__, *p.names())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=target, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    place, *found = done.stdout.split()
    assert Path(place).is_relative_to(target) and found == NAMES
