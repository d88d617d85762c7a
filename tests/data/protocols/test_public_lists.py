"""The public list files against the protocols.

They are not part of this repository: MDMF_SPLITS names the folder that holds CMN, TRX, MDMF and
CLIP-FSAR, and MDMF_SPLITS_FACTS a JSON file of what was counted in them independently.
"""

import hashlib
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.lists import parse_list, require_classes
from mdmf_jax.data.protocols.verify import check_file, difference, recognise, shared

SHARED = Path(__file__).parents[4] / "shared"
LISTS = Path(os.environ.get("MDMF_SPLITS") or SHARED / "splits")
FACTS = Path(os.environ.get("MDMF_SPLITS_FACTS") or SHARED / "spec" / "splits.json")
pytestmark = pytest.mark.skipif(
    not LISTS.is_dir(), reason="the public list files are not here; set MDMF_SPLITS"
)

PROTOCOLS = {
    "hmdb": "hmdb51_arn",
    "ucf": "ucf101_arn",
    "kinetics": "kinetics_cmn",
    "ssv2_OTAM": "ssv2_otam",
    "ssv2_full": "ssv2_otam",
    "ssv2": "ssv2_cmn",
    "smsm": "ssv2_cmn",
}
# Lists that do not hold the protocol's videos: file -> additional and replaced videos.
OTHERS = {
    "MDMF/kinetics_CMN/testlist03.txt": (61, 0),
    "MDMF/kinetics_CMN/trainlist03.txt": (174, 0),
    "CLIP-FSAR/kinetics100/test_few_shot.txt": (57, 57),
    "CLIP-FSAR/kinetics100/train_few_shot.txt": (179, 179),
    "CLIP-FSAR/kinetics100/val_few_shot.txt": (41, 41),
}


parse = cache(parse_list)


def list_files():
    files = sorted(path for path in LISTS.rglob("*") if path.suffix in (".txt", ".list"))
    return [path.relative_to(LISTS).as_posix() for path in files]


def protocol_of(file):
    folder = file.split("/")[1]
    return protocols.load(next(v for k, v in PROTOCOLS.items() if folder.startswith(k)))


def standard(protocol, split):
    """The list of the protocol's own videos as CMN or TRX published it."""
    for known in protocol.lists:
        place = LISTS / ("CMN" if known.origin.endswith("CMN") else "TRX")
        if known.contents == "standard" and known.split == split:
            path = place / known.file.removeprefix("splits/")
            if path.is_file():
                return path
    raise AssertionError(f"no list of {protocol.name}, {split}")


def test_there_are_55():
    assert len(list_files()) == 55
    assert sum(len(protocols.load(name).lists) for name in protocols.names()) == 55


@pytest.mark.parametrize("file", list_files())
def test_every_file_is_recognised(file):
    protocol, path = protocol_of(file), LISTS / file
    parsed = parse(path)
    content = path.read_bytes()
    known = recognise(parsed, protocol)
    place, _, rest = file.partition("/")
    (mine,) = (k for k in known if k.file.endswith(rest) and place.lower() in k.origin.lower())
    assert mine.sha256 == hashlib.sha256(content).hexdigest()
    lines = [line for line in content.decode().split("\n") if line]
    assert (mine.bytes, mine.videos) == (len(content), len(lines))
    assert len(parsed.entries) == len(lines)
    assert len({c.name for c in require_classes(parsed, protocol)}) == mine.classes

    check = check_file(path, protocol)
    assert check.nearest_differs == () and not (check.strange or check.elsewhere)
    assert check.ok == (file not in OTHERS)
    assert (mine.contents == "standard") == check.ok
    if file in OTHERS:
        assert f" {OTHERS[file][0]} " in mine.variant
        known_check = check_file(standard(protocol, check.split), protocol)
        missing, extra = difference(check, [known_check], protocol)
        assert (len(extra), len(missing)) == OTHERS[file]


@pytest.mark.skipif(not FACTS.is_file(), reason="no counts to compare with; set MDMF_SPLITS_FACTS")
@pytest.mark.parametrize("file", list_files())
def test_counts_equal_those_counted_independently(file):
    facts = json.loads(FACTS.read_text())
    place, rest = file.split("/", 1)
    fact = facts[f"{place.lower().replace('-', '')}/{rest}"]
    protocol = protocol_of(file)
    parsed = parse(LISTS / file)
    assert (parsed.sha256, parsed.bytes) == (fact["sha256"], fact["bytes"])
    assert len(parsed.entries) == fact["videos"]
    found = Counter(c.folder for c in require_classes(parsed, protocol))
    expected = Counter()
    for text, count in fact["per_class"].items():
        expected[protocol.find(text).folder] += count
    assert found == expected and len(found) == fact["classes_normalised"]


@pytest.mark.parametrize("name", protocols.names())
def test_no_video_is_in_two_splits(name):
    protocol = protocols.load(name)
    checks = [check_file(standard(protocol, split), protocol) for split in ("train", "val", "test")]
    assert shared(checks, protocol) == ()
    assert sum(len(check.videos) for check in checks) == sum(c.count for c in protocol.classes)


def test_two_numberings_are_one_list():
    protocol = protocols.load("ssv2_otam")
    for split in ("val", "test"):
        folder = LISTS / "MDMF" / "ssv2_OTAM"
        official, within = (parse_list(folder / f"{split}list{n}.txt") for n in ("03", "07"))
        assert official.sha256 != within.sha256
        assert require_classes(official, protocol) == require_classes(within, protocol)
        videos = [[entry.video for entry in parsed.entries] for parsed in (official, within)]
        assert videos[0] == videos[1]
