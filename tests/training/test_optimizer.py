"""Optimizers against their formulas; trained and frozen parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from configs import common
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.training.optimizer import (
    join_params,
    make_optimizer,
    make_train_optimizer,
    rate_schedule,
    split_params,
)

PARAMS = {"encoder": {"a": {"kernel": 1, "bias": 2}}, "head": {"b": {"kernel": 3}}}


def test_adam_follows_the_published_formula():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, 4)) * np.array([1e-9, 1.0, 1e3, 0.0])
    rate, optimizer = 0.1, make_optimizer(0.1)
    params = jnp.ones(4)
    state = optimizer.init(params)
    expected, mean, square = np.ones(4), np.zeros(4), np.zeros(4)
    for t, gradient in enumerate(gradients, 1):
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step = (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        expected = expected - rate * step
    np.testing.assert_allclose(params, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("freeze", "trained", "frozen"),
    [
        ((), [1, 2, 3], []),
        (("^encoder/",), [3], [1, 2]),
        (("kernel$",), [2], [1, 3]),
        (("a/bias", "^head"), [1], [2, 3]),
    ],
)
def test_split_and_join(freeze, trained, frozen):
    parts = split_params(PARAMS, freeze)
    assert [sorted(jax.tree.leaves(part)) for part in parts] == [trained, frozen]
    assert join_params(*parts) == PARAMS


def test_pattern_without_a_parameter():
    with pytest.raises(ConfigError, match="'encodr' matches no parameter"):
        split_params(PARAMS, ("^encoder/", "encodr"))


def test_nothing_left_to_train():
    with pytest.raises(ConfigError, match="nothing is left to train"):
        split_params(PARAMS, (".*",))


SCHEDULE = {"warmup_steps": 4, "warmup_start": 0.02, "decay_at": (6, 9), "decay_factor": 0.5}


def rate_by_hand(step):
    rate = 0.1 if step >= 4 else 0.02 + (0.1 - 0.02) * step / 4
    return rate * 0.5 ** ((step >= 6) + (step >= 9))


def test_rate_rises_and_drops():
    schedule = rate_schedule(0.1, **SCHEDULE)
    np.testing.assert_allclose(
        [schedule(step) for step in range(12)], [rate_by_hand(s) for s in range(12)], rtol=1e-6
    )
    assert rate_schedule(0.1) == 0.1
    drops = rate_schedule(1.0, decay_at=(2, 2, 3), decay_factor=0.1)
    np.testing.assert_allclose([drops(s) for s in range(5)], [1, 1, 0.01, 1e-3, 1e-3], rtol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_decay_is_added_to_the_gradient(kind):
    """Against NumPy; "head/norm" and running statistics do not decay."""
    rng = np.random.default_rng(1)
    start = {
        "encoder": {"layers": {"bn1": {"scale": 2.0}, "downsample_bn": {"mean": 3.0, "bias": 4.0}}},
        "head": {"norm": {"scale": 5.0}, "fc": {"kernel": 6.0}},
    }
    flat = flatten_dict(start, sep="/")
    decays = {"encoder/layers/downsample_bn/bias", "head/fc/kernel"}
    optimizer = make_optimizer(
        0.1, kind=kind, weight_decay=0.3, no_decay=(r"/bn\d/", "^head/.*norm/"), **SCHEDULE
    )
    params = jax.tree.map(jnp.float32, start)
    state = optimizer.init(params)
    mean, square = dict.fromkeys(flat, 0.0), dict.fromkeys(flat, 0.0)
    for step in range(8):
        gradients = {name: 0.0 if name.endswith("mean") else rng.normal() for name in flat}
        tree = jax.tree.map(jnp.float32, unflatten_dict(gradients, sep="/"))
        updates, state = optimizer.update(tree, state, params)
        params = optax.apply_updates(params, updates)
        for name, gradient in gradients.items():
            total = gradient + (0.3 * flat[name] if name in decays else 0)
            mean[name] = 0.9 * mean[name] + 0.1 * total
            square[name] = 0.999 * square[name] + 0.001 * total**2
            corrected = mean[name] / (1 - 0.9 ** (step + 1))
            root = np.sqrt(square[name] / (1 - 0.999 ** (step + 1)))
            direction = total if kind == "sgd" else corrected / (root + 1e-8)
            flat[name] -= rate_by_hand(step) * direction
    moved = flatten_dict(params, sep="/")
    for name, value in flat.items():
        np.testing.assert_allclose(moved[name], value, rtol=1e-4, err_msg=name)
    assert moved["encoder/layers/downsample_bn/mean"] == 3.0


def test_unknown_optimizer():
    with pytest.raises(ConfigError, match="train.optimizer is 'lamb'; known: adam, sgd"):
        make_optimizer(0.1, kind="lamb")


def test_the_config_describes_the_optimizer():
    settings = common.get_config()
    settings.train.update({"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.5})
    settings.train.update({**SCHEDULE, "no_decay": ("bias$",)})
    optimizer = make_train_optimizer(from_config_dict(settings).train)
    params = {"kernel": jnp.float32(2), "bias": jnp.float32(2)}
    updates, _ = optimizer.update(
        jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params
    )
    np.testing.assert_allclose(updates["kernel"], -0.02 * 0.5 * 2, rtol=1e-6)
    assert updates["bias"] == 0
