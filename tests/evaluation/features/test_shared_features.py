"""Features are computed again only where something they depend on differs."""

import copy

import numpy as np
import pytest

from configs import demo
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.evaluation.features.shared import SharedFeatures

PARAMS = {"layer": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.zeros(3)}}

OTHERS = {"frames": np.ones(2)}


@pytest.fixture
def store():
    """SharedFeatures that hold the demo's features of "test"."""
    store = SharedFeatures()
    store.get(settings("mdmf"), PARAMS, "test", lambda: {"frames": np.zeros(2)})
    return store


def settings(method, **changes):
    config = demo.get_config(f"method={method}")
    config.update_from_flattened_dict(changes)
    return from_config_dict(config)


@pytest.mark.parametrize(
    "changes",
    [{}, {"train.steps": 3}, {"data.workers": 5}, {"encoder.prompt": "{}"}, {"tuples.width": 8}],
)
def test_shared(store, changes):
    found = store.get(settings("trx", **changes), copy.deepcopy(PARAMS), "test", lambda: 1 / 0)
    np.testing.assert_array_equal(found["frames"], np.zeros(2))


@pytest.mark.parametrize(
    "changes", [{"data.frames": 4}, {"encoder.normalise": "none"}, {"data.resize": 40}, {"seed": 1}]
)
def test_other_settings(store, changes):
    found = store.get(settings("mdmf", **changes), PARAMS, "test", lambda: OTHERS)
    assert found is OTHERS


def test_a_method_that_reads_other_features(store):
    more = {"frames": np.zeros(2), "patches": np.ones((2, 3))}
    names, again = ("patches", "frames"), ("frames", "patches")
    assert store.get(settings("mdmf"), PARAMS, "test", lambda: more, names) is more
    assert store.get(settings("mdmf"), PARAMS, "test", lambda: 1 / 0, again) is more
    assert store.get(settings("mdmf"), PARAMS, "test", lambda: 1 / 0).keys() == {"frames"}


def test_another_encoder_or_split(store):
    other = copy.deepcopy(PARAMS)
    other["layer"]["bias"][1] = 1e-7
    for params, split in ((other, "test"), (PARAMS, "val"), ({"layer": PARAMS}, "test")):
        found = store.get(settings("mdmf"), params, split, lambda: OTHERS)
        assert found is OTHERS
