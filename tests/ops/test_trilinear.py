import jax
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from mdmf_jax.ops.sampling import trilinear

SIZES = (4, 3, 5)


def by_scipy(volume, points):
    """Cell by cell zero around the volume; SciPy's "constant" would cut off at its edge."""
    sizes = np.array(volume.shape[1:4])
    cells = (points + 1) / 2 * (sizes - 1)
    return np.array([
        [map_coordinates(channel, own.T, order=1, mode="grid-constant", cval=0)
         for channel in np.moveaxis(video, -1, 0)]
        for video, own in zip(volume, cells, strict=True)
    ]).swapaxes(1, 2)  # fmt: skip


@pytest.fixture
def volume(normal):
    return normal(2, *SIZES, 3)


def test_values_inside_and_outside(volume, normal, check_values):
    points = 1.2 * normal(2, 40, 3, seed=1)
    outside = np.abs(points).max(-1) > 1
    assert 5 < outside.sum() < 75
    check_values(trilinear, by_scipy, volume, points)


def test_a_cell_itself_and_zero_far_outside(volume):
    t, y, x = 3, 1, 4
    at = 2 * np.array([t, y, x]) / (np.array(SIZES) - 1) - 1
    points = np.broadcast_to(np.stack([at, [9, 0, 0], [-1e9, 1e9, 0]]), (2, 3, 3))
    found = np.asarray(trilinear(volume, points.astype(np.float32)))
    np.testing.assert_allclose(found[:, 0], volume[:, t, y, x], rtol=1e-5)
    assert not found[:, 1:].any()


def test_it_fades_in_a_line_up_to_one_cell_outside(volume):
    width = SIZES[2] - 1
    points = np.zeros((2, 3, 3), np.float32) - 1
    points[:, :, 2] = np.array([0, -0.25, -0.9]) * 2 / width - 1  # cells before the first
    found = trilinear(volume, points)
    shares = np.array([1, 0.75, 0.1])[None, :, None]
    np.testing.assert_allclose(found, shares * volume[:, 0, 0, 0][:, None], rtol=1e-4, atol=1e-5)


def test_an_axis_of_one_cell_has_it_everywhere(normal):
    volume, points = normal(1, 1, 1, 4, 2), normal(1, 9, 3, seed=1)
    along = points * np.array([0, 0, 1], np.float32)
    np.testing.assert_allclose(trilinear(volume, points), trilinear(volume, along), rtol=1e-5)


def test_gradients(volume, normal, check_gradient):
    points = 1.1 * normal(2, 12, 3, seed=2)  # none on a cell's edge, where they jump
    check_gradient(trilinear, volume, points)


def test_no_gradient_outside(volume):
    points = np.full((2, 1, 3), 5, np.float32)
    of_volume, of_points = jax.grad(lambda *a: trilinear(*a).sum(), (0, 1))(volume, points)
    assert not np.any(of_volume) and not np.any(of_points)
