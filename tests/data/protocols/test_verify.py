"""List files of a made-up protocol, with one thing wrong at a time."""

import pytest
from made_protocol import make

from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.lists import parse_list
from mdmf_jax.data.protocols.verify import (
    absent,
    check_file,
    difference,
    recognise,
    shared,
    split_of,
)
from mdmf_jax.errors import DataError


def lines(check):
    """What differs from the protocol, by class."""
    return {row.folder: row.verdict for row in check.rows if row.verdict}


@pytest.fixture
def made(tmp_path, monkeypatch):
    yield make(tmp_path, monkeypatch)
    protocols.load.cache_clear()


@pytest.fixture
def check(made, tmp_path):
    def check(lines, name="testlist03.txt", split=None):
        (tmp_path / name).write_text("\n".join(lines))
        return check_file(tmp_path / name, made.protocol, split)

    return check


def test_known_list(made):
    result = check_file(made.lists["test"], made.protocol)
    assert [known.variant for known in result.known] == ["standard"]
    assert (result.split, result.nearest, result.nearest_differs) == ("test", "standard", ())
    assert result.ok and len(result.videos) == 5
    parsed = parse_list(made.lists["test"])
    assert recognise(parsed, made.protocol)[0].bytes == made.lists["test"].stat().st_size


def test_same_videos_in_another_form(check, made):
    result = check(["test1//x/kick_ball/b1.avi", "KickBall/b2", "a run/r3", "a_run/r1", "0/r2"])
    assert result.known == () and result.nearest == "standard"
    assert result.strange == {"0": 1}  # this protocol has no label numbers
    result = check(["test1//x/kick_ball/b1.avi", "KickBall/b2", "a run/r3", "a_run/r1", "test0/r2"])
    assert result.ok and result.known == () and result.nearest_differs == ()


@pytest.mark.parametrize(
    ("change", "verdicts", "nearest"),
    [
        (lambda v: v[:-1], {"kick_ball": "1 missing"}, "standard"),
        (lambda v: v[:-2], {"kick_ball": "missing"}, "standard"),
        (lambda v: [*v, "a run/r9", "a run/r8"], {"a run": "2 extra"}, "more"),
        (lambda v: [*v[:-1], "kick_ball/b9"], {"kick_ball": "other videos"}, "standard"),
        (lambda v: [*v[:-1], "a run/b2"], {"kick_ball": "1 missing", "a run": "1 extra"}, "more"),
    ],
)
def test_differences(check, made, change, verdicts, nearest):
    result = check(change(made.lines["test"]))
    assert lines(result) == verdicts and not result.ok
    assert result.nearest == nearest and set(result.nearest_differs) == set(verdicts)


def test_variant(check, made):
    result = check([*made.lines["test"], "a_run/extra1"])
    assert (result.nearest, result.nearest_differs) == ("more", ())
    assert lines(result) == {"a run": "1 extra"} and not result.ok
    result = check([*made.lines["test"][:-1], "a_run/extra1"])
    assert (result.nearest, result.nearest_differs) == ("more", ("kick_ball",))


def test_duplicates_and_foreign_classes(check, made):
    result = check([*made.lines["test"], "a_run/r1", "jump/j1", "fly/1", "fly/2"])
    assert result.duplicated == ("r1",)
    assert result.elsewhere == {"jump": 1} and result.strange == {"fly": 2}
    assert not lines(result) and not result.ok


def test_one_video_in_two_classes_is_a_duplicate(check, made):
    result = check([*made.lines["test"], "kick_ball/r1"])
    assert result.duplicated == ("r1",) and not result.ok


def test_shared_between_splits(check, made):
    test = check_file(made.lists["test"], made.protocol)
    train = check_file(made.lists["train"], made.protocol)
    assert shared([test, train], made.protocol) == ()
    other = check([*made.lines["train"], "jump/r2"], "trainlist.txt")
    assert shared([test, other, other], made.protocol) == ("r2",)


def test_difference_from_another_list(check, made):
    known = check_file(made.lists["test"], made.protocol)
    train = check_file(made.lists["train"], made.protocol)
    mine = check([*made.lines["test"][1:], "a run/r9"], "t.txt")
    assert difference(mine, [known, train], made.protocol) == (("a run/r1",), ("a run/r9",))


def test_videos_on_disk(check, made):
    result = check_file(made.lists["test"], made.protocol)
    disk = {"a_run": {"r1", "r2"}, "KickBall": {"b1"}, "": {"b2"}, "jump": {"r3"}}
    assert absent(result, disk, made.protocol) == ["a run/r3"]
    assert len(absent(result, {}, made.protocol)) == 5


def test_split_of(made, tmp_path):
    def split(text, name="list.txt", given=None):
        (tmp_path / name).write_text(text)
        return split_of(parse_list(tmp_path / name), made.protocol, given)

    assert split("jump/1\njump/2\na run/1") == "train"
    assert split("jump/1", "test_few_shot.txt") == "test"
    assert split("test1/x") == "test"
    assert split("jump/1", given="val") == "val"
    assert split(made.lists["test"].read_text(), "trainlist.txt") == "test"  # by checksum
    with pytest.raises(DataError, match="has no class of made"):
        split("fly/1")
    with pytest.raises(DataError, match="split 'all' is unknown"):
        split("jump/1", given="all")
