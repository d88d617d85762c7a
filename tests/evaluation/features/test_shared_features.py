"""Features are computed again only where something they depend on differs."""

import copy

import numpy as np
import pytest

from configs import demo
from mdmf_jax.config.config import from_config_dict, to_dict
from mdmf_jax.evaluation.features.shared import SharedFeatures

PARAMS = {"layer": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.zeros(3)}}


@pytest.fixture
def store():
    """SharedFeatures that hold the demo's features of "test"."""
    store = SharedFeatures()
    store.get(settings("mdmf"), PARAMS, "test", lambda: np.zeros(2))
    return store


def settings(method, **changes):
    config = demo.get_config(f"method={method}")
    config.update_from_flattened_dict(changes)
    return to_dict(from_config_dict(config))


@pytest.mark.parametrize(
    "changes",
    [{}, {"train.steps": 3}, {"data.workers": 5}, {"encoder.prompt": "{}"}, {"tuples.width": 8}],
)
def test_shared(store, changes):
    found = store.get(settings("trx", **changes), copy.deepcopy(PARAMS), "test", lambda: 1 / 0)
    np.testing.assert_array_equal(found, np.zeros(2))


@pytest.mark.parametrize(
    "changes", [{"data.frames": 4}, {"encoder.normalise": "none"}, {"data.resize": 40}, {"seed": 1}]
)
def test_other_settings(store, changes):
    found = store.get(settings("mdmf", **changes), PARAMS, "test", lambda: np.ones(2))
    np.testing.assert_array_equal(found, np.ones(2))


def test_another_encoder_or_part(store):
    other = copy.deepcopy(PARAMS)
    other["layer"]["bias"][1] = 1e-7
    for params, part in ((other, "test"), (PARAMS, "val"), ({"layer": PARAMS}, "test")):
        found = store.get(settings("mdmf"), params, part, lambda: np.ones(2))
        np.testing.assert_array_equal(found, np.ones(2))
