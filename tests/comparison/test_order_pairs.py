"""Pairs of classes that differ in order, and their episodes."""

import numpy as np
import pytest

from mdmf_jax.comparison.order_pairs import choose_pairs, find_pairs, pair_episodes, read_pairs
from mdmf_jax.data.demo.dataset import TEST_PAIRS, demo_classes
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError

FOLDERS = ("A_then_B", "B_then_A", "C_then_A", "LeftThing", "right_thing")
NAMES = ("a then b", "b then a", "c then a", "left thing", "right thing")


@pytest.fixture
def split():
    counts = (4, 6, 5, 7, 5)
    videos = tuple(
        tuple(f"{folder}/{i}.mp4" for i in range(n))
        for folder, n in zip(FOLDERS, counts, strict=True)
    )
    return Split("test", FOLDERS, NAMES, videos)


def test_the_demo_has_eight_pairs():
    names = [f"{first} then {second}" for first, second in demo_classes("test")]
    found = {frozenset(names[i].split(" then ")) for i, _ in find_pairs(names)}
    assert found == {frozenset(pair) for pair in TEST_PAIRS}
    for i, j in find_pairs(names):
        assert names[i].split(" then ") == names[j].split(" then ")[::-1]


def test_a_class_of_equal_parts_is_no_pair():
    assert find_pairs(["a then a", "a then b", "a", "then"]) == ()


def test_choice_by_name_or_by_file(split, tmp_path):
    assert choose_pairs("order", split) == ((0, 1),)
    file = tmp_path / "pairs.csv"
    file.write_text('left thing, right_thing\n\n"C_then_A",A_then_B\n')
    assert choose_pairs(str(file), split) == ((3, 4), (2, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left thing\n", "line 1: has 1 names; write two"),
        ("left thing,right thing\nleft thing,x\n", "line 2: 'x' is not a class of the test split"),
        ("left thing,LeftThing\n", "line 1: names one class twice"),
        ("\n", "lists no pairs"),
        (None, "cannot be read"),
    ],
)
def test_wrong_files(split, tmp_path, text, message):
    file = tmp_path / "pairs.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_pairs(file, split)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_without_such_names(split):
    other = Split("test", FOLDERS[3:], NAMES[3:], split.videos[3:])
    with pytest.raises(DataError, match="has no classes named 'X then Y'"):
        choose_pairs("order", other)


def test_episodes_are_of_one_pair_each_in_turn(split):
    pairs = ((0, 1), (2, 4))
    sizes = {"shot": 2, "queries": 2, "episodes": 40, "seed": 3}
    table = pair_episodes(split, pairs, **sizes)
    assert {name: rows.shape for name, rows in table.items()} == {
        "class_ids": (40, 2),
        "support": (40, 2, 2),
        "query": (40, 4),
        "query_labels": (40, 4),
        "index": (40,),
    }
    class_of = [i for i, videos in enumerate(split.videos) for _ in videos]
    for n in range(40):
        assert set(table["class_ids"][n]) == set(pairs[n % 2])
        used = [*table["support"][n].ravel(), *table["query"][n]]
        assert len(set(used)) == 8
        for place, class_ in enumerate(table["class_ids"][n]):
            queries = table["query"][n][table["query_labels"][n] == place]
            assert {class_of[v] for v in [*table["support"][n, place], *queries]} == {class_}
    assert len({tuple(row) for row in table["class_ids"][::2]}) == 2  # either class comes first
    again = pair_episodes(split, pairs, **sizes | {"episodes": 4})
    for name, rows in again.items():
        np.testing.assert_array_equal(rows, table[name][:4])
    other = pair_episodes(split, pairs, **sizes | {"seed": 4})
    assert (other["query"] != table["query"]).any()


def test_too_few_videos(split):
    with pytest.raises(DataError, match="class A_then_B has 4 videos"):
        pair_episodes(split, ((0, 1),), shot=4, queries=1, episodes=2, seed=0)
