"""Each video is read and encoded once, in batches of one size."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.features.extractor import FeatureExtractor


def mesh(data):
    types = (AxisType.Auto, AxisType.Auto)
    devices = jax.devices()[:data]
    return jax.make_mesh((data, 1), ("data", "model"), axis_types=types, devices=devices)


def video(index):
    return np.random.default_rng(index).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)


def encode(params, frames):
    return params * frames.reshape(frames.shape[0], -1)[:, :5].astype(jnp.float32)


@pytest.mark.parametrize(
    ("count", "batch", "devices"), [(7, 3, 1), (6, 3, 1), (2, 5, 1), (9, 3, 4)]
)
def test_features_of_every_video_in_order(strict_ranks, count, batch, devices):
    reads, shapes, lock = [], [], threading.Lock()

    def read(index):
        with lock:
            reads.append(index)
        return video(index)

    def traced(params, frames):
        shapes.append(frames.shape)
        return encode(params, frames)

    extract = FeatureExtractor(traced, mesh(devices), videos=batch)
    features = extract(jnp.float32(2), read, count)
    expected = np.stack([2.0 * video(i).reshape(3, -1)[:, :5] for i in range(count)])
    np.testing.assert_array_equal(features, expected)
    assert sorted(reads) == list(range(count))
    assert len(shapes) == 1
    assert shapes[0][0] % devices == 0


def test_the_error_of_a_video_arrives():
    def read(index):
        if index == 4:
            raise DataError("video 4 is broken")
        return video(index)

    with pytest.raises(DataError, match="video 4 is broken"):
        FeatureExtractor(encode, mesh(1), videos=3)(jnp.float32(1), read, 9)
