"""Adam against its formula; trained and frozen parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdmf_jax.errors import ConfigError
from mdmf_jax.training.optimizer import join_params, make_optimizer, split_params

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
