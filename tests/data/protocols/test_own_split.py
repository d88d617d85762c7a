import numpy as np
import pytest

from mdmf_jax.data.protocols.own_split import draw_split, write_lists
from mdmf_jax.data.protocols.protocol import SPLITS
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    """Ten classes; class i has i + 1 videos."""
    for class_ in range(10):
        for video in range(class_ + 1):
            path = tmp_path / "videos" / f"class {class_}" / f"v#{video}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    return tmp_path / "videos"


def test_every_class_goes_to_one_split_with_all_its_videos(root):
    drawn = draw_split(root, seed=3)
    assert tuple(drawn) == SPLITS and [len(drawn[split]) for split in SPLITS] == [6, 2, 2]
    classes = [class_ for split in SPLITS for class_ in drawn[split]]
    assert sorted(classes) == [f"class {i}" for i in range(10)]
    for split in SPLITS:
        for class_, videos in drawn[split].items():
            assert videos == tuple(f"v#{i}" for i in range(int(class_[-1]) + 1))


def test_the_seed_decides(root):
    assert draw_split(root, seed=1) == draw_split(root, seed=1)
    drawn = [draw_split(root, seed=seed) for seed in range(200)]
    counts = {
        f"class {i}": sum(f"class {i}" in split["test"] for split in drawn) for i in range(10)
    }
    assert all(15 < count < 70 for count in counts.values())  # 40 expected, 4.4 standard deviations


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [((1, 1, 1), [3, 3, 4]), ((0.9, 0.05, 0.05), [8, 1, 1]), ((64, 12, 24), [7, 1, 2])],
)
def test_sizes_are_near_the_shares_and_never_zero(root, shares, sizes):
    found = [len(classes) for classes in draw_split(root, shares=shares).values()]
    assert sorted(found) == sorted(sizes) and sum(found) == 10
    wanted = np.array(shares) / sum(shares) * 10
    assert (abs(found - wanted) <= 1).all()


def test_written_lists_are_read_back(root, tmp_path):
    drawn = draw_split(root, seed=5)
    paths = write_lists(drawn, tmp_path / "lists")
    assert [path.name for path in paths] == ["trainlist.txt", "vallist.txt", "testlist.txt"]
    for split in SPLITS:
        loaded = load_split(root, tmp_path / "lists", split)
        assert loaded.folders == tuple(drawn[split])
        assert loaded.ids == tuple(f"{c}/{v}" for c, vs in drawn[split].items() for v in vs)
    with pytest.raises(DataError, match="trainlist.txt: exists already"):
        write_lists(drawn, tmp_path / "lists")


def test_what_cannot_be_divided(root, tmp_path):
    with pytest.raises(ConfigError, match="three positive numbers"):
        draw_split(root, shares=(1, 0, 1))
    with pytest.raises(ConfigError, match="--seed is -1"):
        draw_split(root, seed=-1)
    with pytest.raises(DataError, match="absent: no such folder"):
        draw_split(tmp_path / "absent")
    (tmp_path / "few" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="has 1 class folders"):
        draw_split(tmp_path / "few")
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no videos"):
        draw_split(root)
