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
    """Two modalities of one video."""
    rng = np.random.default_rng(index)
    shapes = {"rgb": (3, 2, 2, 3), "flow": (3, 2, 2, 2)}
    return {name: rng.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}


def encode(params, videos):
    """Features of different shapes, [N, 5] and [N, 2, 2]."""
    first = videos["rgb"].reshape(len(videos["rgb"]), -1)[:, :5]
    return {
        "rgb": params * first.astype(jnp.float32),
        "flow": params + videos["flow"][:, 0, 0].astype(jnp.float32),
    }


class Model:
    """Stands for a FewShotModel whose encoder is the function above."""

    def __init__(self, function=encode):
        self.function = function

    def stage(self, name):
        assert name == "encode"
        return self.function


@pytest.mark.parametrize(
    ("count", "batch", "devices"),
    [(7, 3, 1), (6, 3, 1), (2, 5, 1), pytest.param(9, 3, 4, marks=pytest.mark.devices)],
)
def test_features_of_every_video_in_order(strict_ranks, count, batch, devices):
    reads, shapes, lock = [], [], threading.Lock()

    def read(index):
        with lock:
            reads.append(index)
        return video(index)

    def traced(params, videos):
        shapes.append(videos["rgb"].shape)
        return encode(params, videos)

    extract = FeatureExtractor(Model(traced), mesh(devices), videos=batch)
    features = extract(jnp.float32(2), read, count)
    assert features.keys() == {"rgb", "flow"}
    videos = [video(i) for i in range(count)]
    expected = np.stack([2.0 * v["rgb"].reshape(-1)[:5] for v in videos])
    np.testing.assert_array_equal(features["rgb"], expected)
    expected = np.stack([2.0 + v["flow"][0, 0] for v in videos])
    np.testing.assert_array_equal(features["flow"], expected)
    assert sorted(reads) == list(range(count))
    assert len(shapes) == 1
    assert shapes[0][0] % devices == 0


def test_the_error_of_a_video_arrives():
    def read(index):
        if index == 4:
            raise DataError("video 4 is broken")
        return video(index)

    with pytest.raises(DataError, match="video 4 is broken"):
        FeatureExtractor(Model(), mesh(1), videos=3)(jnp.float32(1), read, 9)
