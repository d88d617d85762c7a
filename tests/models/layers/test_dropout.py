"""The random numbers of dropout: shares, independence, what they depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.models.layers.dropout import Dropout, keep_mask

SHAPE = (30, 9, 2048)


def mask(seed, rate=0.25, shape=SHAPE):
    return np.asarray(keep_mask(jax.random.key(seed), rate, shape)).astype(np.float64)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_share_of_zeros_is_the_rate(rate):
    dropped = 1 - mask(3, rate)
    deviation = np.sqrt(rate * (1 - rate))
    assert abs(dropped.mean() - rate) < 4 * deviation / np.sqrt(dropped.size)
    for axis in range(3):  # and along every axis, by a chi-squared test
        others = tuple(i for i in range(3) if i != axis)
        count = dropped.size / SHAPE[axis]
        scores = (dropped.mean(others) - rate) / (deviation / np.sqrt(count))
        degrees = SHAPE[axis]
        assert abs((scores**2).sum() - degrees) < 4.5 * np.sqrt(2 * degrees)


def test_neighbours_and_keys_are_independent():
    masks = [mask(seed) - 0.75 for seed in range(6)]
    masks.append(np.asarray(keep_mask(jax.random.split(jax.random.key(0))[1], 0.25, SHAPE)) - 0.75)
    limit = 4.5 * 0.25 * 0.75 / np.sqrt(np.prod(SHAPE))
    flat = [m.reshape(-1) for m in masks]
    for first in range(len(flat)):
        for second in range(first):
            assert abs((flat[first] * flat[second]).mean()) < limit
    for shift in (1, 2, 4, 8, 9, 64, 2048, 9 * 2048):
        assert abs((flat[0][shift:] * flat[0][:-shift]).mean()) < limit
        for other in flat[1:3]:
            assert abs((flat[0][shift:] * other[:-shift]).mean()) < limit


def test_a_mask_depends_on_key_and_shape_only():
    np.testing.assert_array_equal(mask(1, shape=(4, 6)), mask(1, shape=(4, 6)))
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: keep_mask(key, 0.5, (5, 7))))(keys)
    for key, found in zip(keys, together, strict=True):
        np.testing.assert_array_equal(found, keep_mask(key, 0.5, (5, 7)))
    assert not np.array_equal(together[0], together[1])


def test_kept_values_are_scaled_up_in_training_only():
    x, module = jnp.ones((100, 100)), Dropout(0.2)
    rngs = {"dropout": jax.random.key(0)}
    trained = np.asarray(module.apply({}, x, train=True, rngs=rngs))
    np.testing.assert_allclose(np.unique(trained), [0, 1.25])
    assert 0.15 < (trained == 0).mean() < 0.25
    np.testing.assert_array_equal(module.apply({}, x, train=False), x)
    np.testing.assert_array_equal(Dropout(0.0).apply({}, x, train=True), x)
