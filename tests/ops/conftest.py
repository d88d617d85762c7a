"""How a pure function is checked: against NumPy, eager, jitted, vmapped and differentiated."""

import jax
import numpy as np
import pytest
from jax.test_util import check_grads


def _check_values(function, expected, *arrays, rtol=1e-5, atol=1e-6):
    """`function` on `arrays` gives `expected(*arrays)`, eager, jitted and vmapped."""
    want = expected(*arrays)
    np.testing.assert_allclose(function(*arrays), want, rtol, atol)
    np.testing.assert_allclose(jax.jit(function)(*arrays), want, rtol, atol)
    stacked = [np.stack([array, array[::-1]]) for array in arrays]
    wants = np.stack([want, expected(*[array[::-1] for array in arrays])])
    np.testing.assert_allclose(jax.vmap(function)(*stacked), wants, rtol, atol)


def _check_gradient(function, *arrays):
    """Reverse-mode gradients in float64 against finite differences."""
    with jax.enable_x64(True):
        arrays = [np.asarray(array, np.float64) for array in arrays]
        check_grads(function, arrays, order=1, modes=["rev"], rtol=1e-5, atol=1e-6)


@pytest.fixture
def check_values():
    return _check_values


@pytest.fixture
def check_gradient():
    return _check_gradient


@pytest.fixture
def normal():
    """Normal float32 array of a shape, a function of shape and seed."""

    def draw(*shape, seed=0):
        return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

    return draw
