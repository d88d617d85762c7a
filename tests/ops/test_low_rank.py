"""Orthogonal low-rank changes against NumPy in float64."""

import numpy as np
import pytest

from mdmf_jax.ops.low_rank import dominant_basis, without_directions


def rank_by_entropy(weight):
    values = np.linalg.svd(weight, compute_uv=False)
    shares = values / values.sum()
    return int(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_basis(shape):
    weight = np.random.default_rng(sum(shape)).normal(size=shape) @ np.diag(
        2.0 ** np.arange(shape[1])
    )
    basis = np.asarray(dominant_basis(weight.astype(np.float32)), np.float64)
    count = rank_by_entropy(weight)
    assert 0 < count < min(shape) and basis.shape == (shape[0], min(shape))
    left = np.linalg.svd(weight)[0][:, :count]
    # The span is what counts; vectors may differ in sign.
    np.testing.assert_allclose(basis @ basis.T, left @ left.T, atol=1e-5)
    assert not basis[:, count:].any()


def test_a_weight_of_rank_one():
    basis = np.asarray(dominant_basis(np.outer([3.0, 4.0], [1.0, 0.0, 0.0]).astype(np.float32)))
    np.testing.assert_allclose(np.abs(basis), [[0.6, 0], [0.8, 0]], atol=1e-6)


def test_nothing_is_left_along_the_basis():
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.normal(size=(8, 3)))[0].astype(np.float32)
    rows = rng.normal(size=(2, 8)).astype(np.float32)
    kept = np.asarray(without_directions(rows, left))
    np.testing.assert_allclose(kept, rows - rows @ left @ left.T, atol=1e-6)
    assert np.abs(kept @ left).max() < 1e-6 < np.abs(rows @ left).max()
