import numpy as np
import pytest

from mdmf_jax.errors import ConfigError
from mdmf_jax.ops.components import principal_part, resized


def by_singular_values(matrix, rows, columns):
    """The same from NumPy's singular value decomposition, in float64."""
    centred = matrix.astype(np.float64) - matrix.mean(0, dtype=np.float64)
    directions = np.linalg.svd(centred)[2][:columns].T
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(columns)])
    return centred[:rows] @ directions


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (6, 3), (7, 1)])
def test_principal_part(normal, rows, columns):
    matrix = normal(8, 5) + 2
    expected = by_singular_values(matrix, rows, columns)
    np.testing.assert_allclose(principal_part(matrix, rows, columns), expected, atol=1e-4)


def test_a_wide_part_is_that_of_the_transposed_matrix(normal):
    matrix = normal(5, 8)
    expected = by_singular_values(matrix.T, 6, 3).T
    np.testing.assert_allclose(principal_part(matrix, 3, 6), expected, atol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(9, 2), (8, 6), (6, 9)])
def test_a_part_cannot_be_larger(normal, rows, columns):
    with pytest.raises(ConfigError, match="start of .* pretrained matrix of .*width"):
        principal_part(normal(8, 5), rows, columns)


def cubic(vector, size):
    """Entry after entry, by the definition of the kernel with its coefficient -0.75."""
    out = []
    for i in range(size):
        place = (i + 0.5) * len(vector) / size - 0.5
        total = 0.0
        for k in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            x = abs(place - k)
            if x <= 1:
                weight = 1.25 * x**3 - 2.25 * x**2 + 1
            else:
                weight = -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3
            total += weight * vector[min(max(k, 0), len(vector) - 1)]
        out.append(total)
    return np.array(out)


@pytest.mark.parametrize("size", [1, 4, 10, 13])
def test_resized(normal, size):
    vector = normal(10)
    np.testing.assert_allclose(resized(vector, size), cubic(vector, size), rtol=1e-5, atol=1e-6)


def test_a_constant_stays_itself():
    np.testing.assert_allclose(resized(np.full(7, 3.0, np.float32), 5), np.full(5, 3.0), rtol=1e-6)
