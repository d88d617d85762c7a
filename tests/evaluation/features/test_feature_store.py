"""Stored features: found again, and never believed when anything is wrong."""

import json
import os

import numpy as np
import pytest

from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.features.store import FeatureStore, cache_key

KEY = cache_key({"encoder": "a"})
VIDEOS = 7
SHAPES = {"frames": (3, 4), "patches": (3, 2, 5), "class": ()}


def right(videos):
    """Features of three shapes, one of them a number for each video."""
    return {
        name: np.stack([np.random.default_rng([v, n]).normal(size=shape) for v in videos])
        for n, (name, shape) in enumerate(SHAPES.items())
    }


class Encoder:
    """Computes the right features and remembers for which videos."""

    def __init__(self):
        self.seen = []

    def __call__(self, videos):
        self.seen += videos.tolist()
        return right(videos)


def load(folder, key=KEY, **shard):
    encoder = Encoder()
    features = FeatureStore(folder, key).features(VIDEOS, encoder, **shard)
    return features, sorted(encoder.seen)


def check(folder, encoded, key=KEY):
    """The features are right, and so many videos had to be encoded for them."""
    features, seen = load(folder, key)
    expected = right(range(VIDEOS))
    assert features.keys() == expected.keys()
    for name, x in expected.items():
        assert features[name].dtype == np.float32
        np.testing.assert_array_equal(features[name], x.astype(np.float32))
    assert seen == encoded


@pytest.fixture
def stored(tmp_path):
    check(tmp_path, list(range(VIDEOS)))
    (file,) = tmp_path.glob("*/*.features")
    return tmp_path, file


def test_a_second_call_encodes_nothing(stored):
    check(stored[0], [])


def test_another_key_has_other_features(stored):
    check(stored[0], list(range(VIDEOS)), cache_key({"encoder": "b"}))
    check(stored[0], [])


def places(data):
    """Places of bits to flip: in the header, in each of the three features, and the last."""
    start = data.index(b"\n") + 1
    first, second = 4 * VIDEOS * 12, 4 * VIDEOS * 30
    inside = {"frames": start, "patches": start + first, "class": start + first + second}
    return {"header": 30, "last": len(data) - 1} | inside


@pytest.mark.parametrize("place", ["header", "last", "frames", "patches", "class"])
def test_a_flipped_bit(stored, place):
    folder, file = stored
    data = bytearray(file.read_bytes())
    data[places(data)[place]] ^= 4
    file.write_bytes(data)
    check(folder, list(range(VIDEOS)))
    check(folder, [])


def _header(content, change):
    line, _, data = content.partition(b"\n")
    header = json.loads(line)
    change(header)
    return json.dumps(header).encode() + b"\n" + data


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["shapes"].pop("class"),
        lambda header: header["shapes"].update(frames=[4, 3]),
        lambda header: header.update(shapes={n: [] for n in header["shapes"]}),
        lambda header: header.update(videos=header["videos"][::-1]),
        lambda header: header.pop("shapes"),
        lambda header: header.update(shapes=[1, 2]),
    ],
)
def test_a_header_that_does_not_fit_the_data(stored, change):
    folder, file = stored
    file.write_bytes(_header(file.read_bytes(), change))
    check(folder, list(range(VIDEOS)))


@pytest.mark.parametrize("left", [0, 20, 200, -1])
def test_a_truncated_file(stored, left):
    folder, file = stored
    file.write_bytes(file.read_bytes()[:left])
    check(folder, list(range(VIDEOS)))


def test_a_file_of_another_key_under_this_name(stored):
    folder, file = stored
    other = cache_key({"encoder": "b"})
    moved = folder / other[:32] / file.name
    moved.parent.mkdir()
    os.replace(file, moved)
    check(folder, list(range(VIDEOS)), other)


def test_files_of_other_programs_and_stale_temporary_files(stored):
    folder, file = stored
    (file.parent / "x.tmp").write_bytes(b"half")
    (file.parent / "list.features").write_text(json.dumps([1]) + "\n")
    (file.parent / "dir.features").mkdir()
    check(folder, [])


def test_shards_in_any_order_add_up(tmp_path):
    features, seen = load(tmp_path, shard=2, shards=3)
    assert (len(features), seen) == (0, [4, 5, 6])
    assert load(tmp_path, shard=2, shards=3)[1] == []
    assert load(tmp_path, shard=0, shards=3)[1] == [0, 1]
    check(tmp_path, [2, 3])
    check(tmp_path, [])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_mode_that_the_umask_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        check(tmp_path / "store", list(range(VIDEOS)))
    finally:
        os.umask(before)
    (file,) = tmp_path.glob("store/*/*.features")
    assert file.stat().st_mode & 0o777 == mode


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written.*feature_cache"):
        FeatureStore(tmp_path / "file", KEY)
