"""Episodes that keep a person or a camera apart."""

import numpy as np
import pytest

from mdmf_jax.data.episodes.drawing import sample_episode_table
from mdmf_jax.data.episodes.grouped import grouped_episode_table
from mdmf_jax.data.protocols.groups import read_groups
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError

SIZES = {"way": 3, "shot": 2, "queries": 1, "seed": 3, "episodes": 60}


@pytest.fixture
def split():
    """Five classes of six videos, two of each of the people a, b and c."""
    names = tuple("vwxyz")
    videos = tuple(tuple(f"{n}/{n}{i}_{'abc'[i // 2]}.mp4" for i in range(6)) for n in names)
    return Split("test", names, names, videos)


def groups_of(split):
    return read_groups({path: path[-5] for path in split.paths})


def test_queries_are_of_one_group_and_support_of_others(split):
    table = grouped_episode_table(split, groups_of(split), **SIZES)
    of = np.array([path[-5] for path in split.paths])
    for support, query in zip(of[table["support"]], of[table["query"]], strict=True):
        assert len(set(query)) == 1 and not set(query) & set(support.ravel())
    assert {group for row in of[table["query"]] for group in row} == set("abc")
    classes = np.array([path[0] for path in split.paths])
    expected = np.array(split.folders)[table["class_ids"]]
    assert (classes[table["query"]] == expected).all()  # one query a class, class after class
    assert (classes[table["support"]] == expected[..., None]).all()
    assert all(len(set(row.ravel())) == row.size for row in table["support"])
    assert all(len(set(row)) == 3 for row in table["class_ids"])
    plain = sample_episode_table(split, **SIZES)
    assert {k: (v.shape, v.dtype) for k, v in plain.items()} == {
        k: (v.shape, v.dtype) for k, v in table.items()
    }
    pairs = zip(of[plain["support"]], of[plain["query"]], strict=True)
    mixed = [set(query) & set(support.ravel()) for support, query in pairs]
    assert any(mixed)  # without groups they meet


def test_an_episode_depends_on_its_number_alone(split):
    whole = grouped_episode_table(split, groups_of(split), **SIZES)
    part = grouped_episode_table(split, groups_of(split), **SIZES | {"episodes": 7})
    other = grouped_episode_table(split, groups_of(split), **SIZES | {"seed": 4})
    for name, numbers in part.items():
        np.testing.assert_array_equal(numbers, whole[name][:7])
    assert (other["query"] != whole["query"]).any()


def test_what_cannot_be_drawn(split):
    with pytest.raises(DataError, match="no group has 3 videos in each of 3 classes that have 2"):
        grouped_episode_table(split, groups_of(split), **SIZES | {"queries": 3})
    some = read_groups({path: "a" for path in split.paths[:-1]})
    with pytest.raises(DataError, match="names no group of z/z5_c.mp4"):
        grouped_episode_table(split, some, **SIZES)


def test_a_data_set_draws_so_where_its_settings_say(videos, tmp_path):
    from mdmf_jax.data.dataset import Dataset
    from mdmf_jax.data.settings import DataSection, EpisodeSection

    table = tmp_path / "groups.csv"
    names = sorted(p.relative_to(videos) for p in videos.glob("*/*/*.mp4"))
    lines = [f"{n.parent.name}/{n.stem},{n.stem}" for n in names]
    table.write_text("\n".join(["clip,group", *lines]))
    data = DataSection(root=str(videos), groups=str(table), frames=3, resize=18, crop=16)
    dataset = Dataset(data, EpisodeSection(way=2, queries=1), seed=0)
    drawn = dataset.episodes("test", 3, 3, 1, 20, 0)
    of = np.array([path[-5] for path in dataset.splits["test"].paths])
    assert all(len(set(row)) == 1 for row in of[drawn["query"]])
