"""Optimizers against their formulas; trained and frozen parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from configs import common
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.param_groups import ParamGroup, group_of, param_groups
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
    shares = rate_schedule(2.0, decay_at=(1, 3), decay_to=(0.5, 0.05))
    np.testing.assert_allclose([shares(s) for s in range(5)], [2, 1, 1, 0.1, 0.1], rtol=1e-6)
    for bad in ((0.5,), (0.5, 0.1, 0.05)):
        with pytest.raises(ConfigError, match="must have one share for each of train.decay_at"):
            rate_schedule(1.0, decay_at=(1, 3), decay_to=bad)


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


COSINE = {"warmup_steps": 2, "warmup_start": 0.02, "cosine_steps": 8, "lag": 1}


def cosine_by_hand(step):
    step = max(step - 1, 0)
    if step < 2:
        return 0.02 + (0.1 - 0.02) * step / 2
    return 0.1 * 0.5 * (1 + np.cos(np.pi * min(step - 2, 6) / 6))


def test_a_cosine_after_the_warmup():
    schedule = rate_schedule(0.1, **COSINE)
    np.testing.assert_allclose(
        [schedule(step) for step in range(12)],
        [cosine_by_hand(step) for step in range(12)],
        rtol=1e-5,
        atol=1e-9,
    )
    assert rate_schedule(0.1, cosine_steps=4)(0) == np.float32(0.1)
    with pytest.raises(ConfigError, match="cosine over 4 steps there can be no drops"):
        rate_schedule(0.1, decay_at=(2,), cosine_steps=4)
    with pytest.raises(ConfigError, match="train.warmup_steps 4; with a cosine over 4 steps"):
        rate_schedule(0.1, 4, cosine_steps=4)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_groups_clipping_and_average(kind):
    """Against NumPy, with everything at once."""
    rng = np.random.default_rng(2)
    flat = {"encoder/adapter/up": 2.0, "encoder/norm/scale": 3.0, "head/fc/kernel": 4.0,
            "head/fc/bias": 5.0, "encoder/adapter/q_proj/basis": 6.0}  # fmt: skip
    rates = {"encoder/adapter/up": 0.5, "encoder/adapter/q_proj/basis": 0.5, "head/fc/bias": 0}
    decays = {"encoder/adapter/up": 0.7, "head/fc/kernel": 0.3, "head/fc/bias": 0.3}
    optimizer = make_optimizer(
        0.1,
        kind=kind,
        betas=(0.5, 0.9),
        epsilon=1e-3,
        weight_decay=0.3,
        no_decay=("norm/",),
        groups=("/adapter/:rate=0.5,decay=0.7", "/up$:rate=100", "bias$:rate=0"),
        clip_norm=1.0,
        average=0.8,
        **COSINE,
    )
    params = jax.tree.map(jnp.float32, unflatten_dict(flat, sep="/"))
    state = optimizer.init(params)
    mean, square, past = dict.fromkeys(flat, 0.0), dict.fromkeys(flat, 0.0), []
    for step in range(8):
        gradients = {name: rng.normal() for name in flat}
        gradients["encoder/adapter/q_proj/basis"] = 0.0  # as its leaves have
        tree = jax.tree.map(jnp.float32, unflatten_dict(gradients, sep="/"))
        updates, state = optimizer.update(tree, state, params)
        params = optax.apply_updates(params, updates)
        norm = np.sqrt(sum(g**2 for g in gradients.values()))
        for name, gradient in gradients.items():
            gradient = gradient / max(1, norm)
            decay = decays.get(name, 0) * flat[name]
            gradient += 0 if kind == "adamw" else decay
            mean[name] = 0.5 * mean[name] + 0.5 * gradient
            square[name] = 0.9 * square[name] + 0.1 * gradient**2
            root = np.sqrt(square[name] / (1 - 0.9 ** (step + 1)))
            adam = mean[name] / (1 - 0.5 ** (step + 1)) / (root + 1e-3)
            direction = gradient if kind == "sgd" else adam
            direction += decay if kind == "adamw" else 0
            flat[name] -= cosine_by_hand(step) * rates.get(name, 1) * direction
        past.append(dict(flat))
    moved, averaged = (flatten_dict(tree, sep="/") for tree in (params, state.average))
    weights = 0.8 ** np.arange(7, -1, -1)
    for name, value in flat.items():
        np.testing.assert_allclose(moved[name], value, rtol=1e-4, err_msg=name)
        expected = np.average([each[name] for each in past], weights=weights)
        np.testing.assert_allclose(averaged[name], expected, rtol=1e-4, err_msg=name)
    assert moved["head/fc/bias"] == 5.0 and moved["encoder/adapter/q_proj/basis"] == 6.0


def test_the_average_starts_with_the_first_update():
    optimizer = make_optimizer(0.1, kind="sgd", average=0.99)
    params = {"w": jnp.float32(1)}
    state = optimizer.init(params)
    assert state.average["w"] == 1
    updates, state = optimizer.update({"w": jnp.float32(2)}, state, params)
    np.testing.assert_allclose(state.average["w"], 0.8, rtol=1e-6)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (("^head/",), "'\\^head/' must be a regex and numbers, such as"),
        (("^head/:rat=1",), "'\\^head/:rat=1' must be a regex and numbers"),
        (("^head/:rate=1,rate=2",), "must be a regex and numbers"),
        ((":rate=1",), "must be a regex and numbers"),
        (("^head/:rate=fast",), "'fast' in '\\^head/:rate=fast' must be a number, at least 0"),
        (("^head/:decay=-1",), "'-1' in '\\^head/:decay=-1' must be a number"),
        (("^head/:decay=nan",), "'nan' in"),
        (("(head:rate=1",), "'\\(head' is not a regex"),
    ],
)
def test_groups_that_make_no_sense(groups, message):
    settings = common.get_config()
    settings.train.groups = groups
    with pytest.raises(ConfigError, match=f"train.groups: .*{message}"):
        from_config_dict(settings)


def test_a_regex_may_hold_a_colon():
    groups = param_groups(("(?:a|b):rate=2", "c:decay=0"))
    assert groups == (ParamGroup("(?:a|b)", 2.0, None), ParamGroup("c", 1.0, 0.0))
    assert [group_of(path, groups).rate for path in ("b", "c", "d")] == [2.0, 1.0, 1.0]
