"""The alignment path against finite differences of a recursion written out in NumPy."""

import numpy as np
import pytest

from mdmf_jax.evaluation.alignment_path import alignment_path


def softmin(values, temperature):
    low = min(values)
    return low - temperature * np.log(sum(np.exp((low - v) / temperature) for v in values))


def value(costs, temperature):
    """OTAM's recursion in one direction, with a column of zeros on either side."""
    rows, columns = costs.shape
    padded = np.pad(costs, ((0, 0), (1, 1)))
    total = np.zeros_like(padded)
    total[0] = np.cumsum(padded[0])
    for row in range(1, rows):
        for column in range(1, columns + 2):
            from_ = [total[row - 1, column - 1], total[row, column - 1]]
            if column in (1, columns + 1):
                from_.append(total[row - 1, column])
            total[row, column] = padded[row, column] + softmin(from_, temperature)
    return total[-1, -1]


def gradient(costs, temperature, step=1e-5):
    found = np.zeros_like(costs)
    for place in np.ndindex(costs.shape):
        up, down = costs.copy(), costs.copy()
        up[place] += step
        down[place] -= step
        found[place] = (value(up, temperature) - value(down, temperature)) / (2 * step)
    return found


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_path_is_the_derivative_in_both_directions(temperature):
    costs = np.random.default_rng(0).uniform(0, 1, (3, 4))
    there, back = alignment_path(costs, temperature)
    np.testing.assert_allclose(there, gradient(costs, temperature), atol=2e-4)
    np.testing.assert_allclose(back, gradient(costs.T.copy(), temperature).T, atol=2e-4)


def test_equal_clips_are_aligned_along_the_diagonal():
    there, back = alignment_path(1 - np.eye(4), 0.02)
    for path in (there, back):
        assert (np.diag(path) > 0.99).all()
        assert path.sum() - np.trace(path) < 0.05


def test_one_direction():
    assert alignment_path(np.zeros((3, 4)), 0.1, bidirectional=False)[1] is None
