import numpy as np
import pytest

from mdmf_jax.ops.deformable import Window, reference_points, sampling_points


@pytest.mark.parametrize(
    ("window", "sizes", "grid"),
    [
        (Window((4, 5, 5), (4, 3, 3)), (8, 14, 14), (2, 4, 4)),
        (Window((1, 7, 7), (1, 7, 7)), (8, 14, 14), (8, 2, 2)),
        (Window((2, 3, 3), (2, 3, 3), (1, 1, 1)), (6, 8, 8), (4, 3, 3)),
        (Window((1, 7, 7), (1, 7, 7)), (8, 7, 6), (8, 1, 0)),
        (Window((4, 1, 1), (1, 1, 1)), (2, 5, 5), (0, 5, 5)),
    ],
)
def test_places_of_a_window(window, sizes, grid):
    assert window.grid(sizes) == grid
    for axis, size in enumerate(sizes):  # counted one by one
        kernel, stride, padding = (part[axis] for part in window)
        starts = range(-padding, size + padding - kernel + 1, stride)
        assert len(starts) == grid[axis]


def test_references_are_the_centres_of_cells():
    found = reference_points((1, 2, 4))
    assert found.shape == (1, 2, 4, 3)
    np.testing.assert_allclose(found[0, :, 0, 1], [-0.5, 0.5])
    np.testing.assert_allclose(found[0, 1, :, 2], [-0.75, -0.25, 0.25, 0.75])
    assert not found[..., 0].any()


def test_points_move_by_at_most_a_cell_and_a_half_range(normal, check_values):
    def expected(offsets):
        _, *grid, _ = offsets.shape
        found = np.empty_like(offsets)
        for place in np.ndindex(*offsets.shape[:4]):
            for axis, n in enumerate(grid):
                centre = (2 * place[1 + axis] + 1) / n - 1
                found[place][axis] = centre + np.tanh(offsets[place][axis]) * min(1, 2 / n)
        return found.reshape(len(offsets), -1, 3)

    check_values(sampling_points, expected, 2 * normal(2, 1, 2, 3, 3))


def test_points_leave_the_volume(normal):
    points = np.asarray(sampling_points(np.full((1, 2, 1, 4, 3), 50, np.float32)))
    np.testing.assert_allclose(points[0].max(0), [1.5, 1.0, 1.25])
