import jax
import numpy as np
import pytest

from mdmf_jax.ops.distance_correlation import (
    distance_correlation,
    frame_similarity,
    patch_weights,
    video_mean,
)


def numpy_weights(token, patches):
    norms = np.linalg.norm(token) * np.linalg.norm(patches, axis=-1)
    return patches @ token / norms


def numpy_correlation(exponent):
    """Pair of channels after pair, in float64."""

    def compute(patches):
        channels = patches.astype(np.float64).T
        count, length = channels.shape
        powers = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                squared = ((channels[i] - channels[j]) ** 2).sum() / (2 * length)
                powers[i, j] = (squared + 1e-5) ** exponent
        centring = np.eye(count) - 1 / count
        centred = centring @ powers @ centring
        return np.array([centred[i, j] for i in range(count) for j in range(i, count)])

    return compute


def test_patch_weights(normal, check_values, check_gradient):
    token, patches = normal(5), normal(7, 5, seed=1)
    np.testing.assert_allclose(
        patch_weights(token, patches), numpy_weights(token, patches), rtol=1e-5
    )
    check_gradient(patch_weights, token, patches)
    assert np.isfinite(patch_weights(np.zeros(5, np.float32), patches)).all()


@pytest.mark.parametrize("exponent", [0.25, 0.4, 1.0])
def test_distance_correlation(normal, check_values, check_gradient, exponent):
    def ours(patches):
        return distance_correlation(patches, exponent)

    patches = normal(6, 4)
    check_values(ours, numpy_correlation(exponent), patches, rtol=1e-4, atol=1e-5)
    check_gradient(ours, patches)


def test_equal_channels_have_a_finite_gradient(normal):
    patches = np.repeat(normal(6, 2), 2, axis=1)
    gradient = jax.grad(lambda x: (distance_correlation(x, 0.4) ** 2).sum())(patches)
    assert np.isfinite(gradient).all()


def test_leading_axes_are_kept(normal):
    patches = normal(2, 3, 6, 4)
    together = distance_correlation(patches, 0.4)
    assert together.shape == (2, 3, 10)
    np.testing.assert_allclose(together[1, 2], distance_correlation(patches[1, 2], 0.4), rtol=1e-5)


def test_frame_similarity(normal, check_gradient):
    queries, prototypes = normal(2, 3, 5), normal(4, 3, 5, seed=1)
    found = frame_similarity(queries, prototypes)
    assert found.shape == (2, 4, 3, 3)
    for q, w, i, j in np.ndindex(found.shape):
        x, y = queries[q, i], prototypes[w, j]
        expected = x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + 0.01)
        np.testing.assert_allclose(found[q, w, i, j], expected, rtol=1e-4, atol=1e-6)
    check_gradient(frame_similarity, queries, prototypes)


def test_absent_videos_do_not_count_in_the_mean(normal):
    supports = normal(2, 3, 4)
    np.testing.assert_allclose(video_mean(supports), supports.reshape(6, 4).mean(0), rtol=1e-5)
    mask = np.array([[True, False, False], [True, True, False]])
    there = supports[mask]
    np.testing.assert_allclose(video_mean(supports, mask), there.mean(0), rtol=1e-5)
