"""Stored features: found again, and never believed when anything is wrong."""

import json
import os

import numpy as np
import pytest

from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.features.store import FeatureCache, cache_key

KEY = cache_key({"encoder": "a"})
VIDEOS = 7


def right(videos):
    return np.stack([np.random.default_rng(v).normal(size=(3, 4)) for v in videos])


class Encoder:
    """Computes the right features and remembers for which videos."""

    def __init__(self):
        self.seen = []

    def __call__(self, videos):
        self.seen += videos.tolist()
        return right(videos)


def load(folder, key=KEY, **shard):
    encoder = Encoder()
    features = FeatureCache(folder, key).features(VIDEOS, encoder, **shard)
    return features, sorted(encoder.seen)


def check(folder, encoded, key=KEY):
    """The features are right, and so many videos had to be encoded for them."""
    features, seen = load(folder, key)
    np.testing.assert_array_equal(features, right(range(VIDEOS)).astype(np.float32))
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


@pytest.mark.parametrize("place", ["header", "data", "last"])
def test_a_flipped_bit(stored, place):
    folder, file = stored
    data = bytearray(file.read_bytes())
    place = {"header": 30, "data": data.index(b"\n") + 50, "last": len(data) - 1}[place]
    data[place] ^= 4
    file.write_bytes(data)
    check(folder, list(range(VIDEOS)))
    check(folder, [])


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


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="features cannot be stored.*feature_cache"):
        FeatureCache(tmp_path / "file", KEY)
