"""Motion maps against plain NumPy, and what they must not see: light, noise, the camera."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.ops import motion_maps as m


@pytest.fixture(scope="module")
def scene():
    """A smooth texture as a function of (rows, columns), values about 0.5."""
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 0.25, (12, 2))
    phases, sizes = rng.uniform(0, 6.28, 12), rng.uniform(0.02, 0.06, 12)

    def at(rows, columns):
        angle = waves[:, :1, None] * rows[None] + waves[:, 1:, None] * columns[None]
        return 0.5 + np.tensordot(sizes, np.sin(angle + phases[:, None, None]), 1)

    return at


def grid(side=48):
    return np.mgrid[0:side, 0:side].astype(float)


def test_systems_are_solved():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(3, 5, 8, 6))
    matrix, vector = np.swapaxes(parts, -1, -2) @ parts, rng.normal(size=(3, 5, 6))
    expected = np.linalg.solve(matrix, vector[..., None])[..., 0]
    np.testing.assert_allclose(m.solve(matrix, vector), expected, rtol=2e-3, atol=2e-4)


def test_means_over_squares():
    x = np.random.default_rng(2).normal(size=(1, 2, 7, 9)).astype(np.float32)
    wide = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    expected = np.zeros_like(x)
    for row in range(7):
        for column in range(9):
            expected[..., row, column] = wide[..., row : row + 5, column : column + 5].mean((2, 3))
    np.testing.assert_allclose(m.box(x, 5), expected, atol=1e-5)


def test_the_camera_and_the_light_are_taken_away(scene):
    rows, columns = grid()
    middle = rows - 23.5, columns - 23.5
    videos = []
    for shift, zoom, gain in ((0.4, 0.0, 1.0), (0.0, 0.01, 1.0), (0.2, 0.0, 1.04)):
        later = gain * scene(rows + shift + zoom * middle[0], columns - shift + zoom * middle[1])
        videos.append(np.stack([scene(rows, columns), later]))
    grey = np.array(videos, np.float32)
    change, _, _ = jax.device_get(jax.jit(m.without_camera)(grey))
    before, after = (
        np.abs(x[..., 3:-3, 3:-3]).mean((1, 2, 3)) for x in (np.diff(grey, axis=1), change)
    )
    assert (after < 0.2 * before).all()


def test_what_moves_on_its_own_stays(scene):
    rows, columns = grid()
    still = scene(rows, columns)
    place = lambda x: (np.hypot(rows - 24, columns - x) < 6) * 0.4  # noqa: E731
    grey = np.array([[still + place(20), still + place(23)]], np.float32)
    change, _, _ = jax.device_get(jax.jit(m.without_camera)(grey))
    raw = np.diff(grey, axis=1)
    inside = np.abs(raw) > 0.2
    assert np.abs(change)[inside].mean() > 0.8 * np.abs(raw)[inside].mean()
    assert np.abs(change)[~inside].mean() < 0.02


@pytest.mark.parametrize("step", [(0.6, 0.0), (-0.5, 0.3), (0.0, -0.7)])
def test_flow_of_a_moving_texture(scene, step):
    rows, columns = grid(24)
    # Of strong contrast: the flow of weak ones is drawn to 0 on purpose.
    later, first = 8 * scene(rows - step[1], columns - step[0]), 8 * scene(rows, columns)
    frames, change = ((first + later) / 2)[None, None], (later - first)[None, None]
    found = jax.jit(m.flow)(change.astype(np.float32), frames.astype(np.float32))
    medians = [float(np.median(x[..., 4:-4, 4:-4])) for x in found]
    np.testing.assert_allclose(medians, step, atol=0.12)


def test_maps_do_not_depend_on_light_and_contrast(scene):
    rows, columns = grid()
    place = lambda x: (np.hypot(rows - 24, columns - x) < 6) * 0.3  # noqa: E731
    video = np.array([[scene(rows, columns) + place(12 + 2 * t) for t in range(8)]], np.float32)
    run = jax.jit(m.motion_maps)
    for other in (video + 0.1, 1 - video, 0.2 + 0.6 * video):
        one, two = run(video), run(other.astype(np.float32))
        for channel in range(6):
            assert np.corrcoef(np.ravel(one[..., channel]), np.ravel(two[..., channel]))[0, 1] > 0.9


def test_coarse_maps():
    maps = np.random.default_rng(3).random((2, 12, 4, 9, 3)).astype(np.float32)
    found = np.asarray(m.coarse_maps(jnp.asarray(maps), 6, 2, 3))
    expected = np.zeros((2, 6, 2, 3, 3))
    for video, moment, row, column in np.ndindex(2, 12, 4, 9):
        expected[video, moment // 2, row // 2, column // 3] += maps[video, moment, row, column] / 12
    np.testing.assert_allclose(found, expected.reshape(2, 6, -1), atol=1e-6)
