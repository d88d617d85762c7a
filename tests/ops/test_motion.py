"""Motion of a video, against loops over time and videos."""

import jax.numpy as jnp
import numpy as np

from mdmf_jax.ops.motion import motion_vector, squared_distance


def test_motion_vector_against_a_loop():
    rng = np.random.default_rng(0)
    frames, smoothed = jnp.asarray(rng.normal(size=(2, 3, 5, 4)))
    expected = np.zeros((3, 4))
    for video in range(3):
        for t in range(4):
            forward = smoothed[video, t + 1] - frames[video, t]
            backward = smoothed[video, t] - frames[video, t + 1]
            expected[video] += (forward + backward) / 2 / 4
    np.testing.assert_allclose(motion_vector(frames, smoothed), expected, atol=1e-6)


def test_a_video_at_rest_that_smoothing_leaves_as_it_is_does_not_move():
    frames = jnp.ones((2, 3, 4)) * jnp.arange(4)
    np.testing.assert_array_equal(motion_vector(frames, frames), np.zeros((2, 4)))


def test_squared_distance_against_a_loop():
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(2, 3, 5, 4)))
    expected = np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(squared_distance(x, y), expected, rtol=1e-6)
