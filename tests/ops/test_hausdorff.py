import jax
import numpy as np

from mdmf_jax.ops.hausdorff import frame_distances, hausdorff, unit


def plain_distances(query, prototypes):
    found = np.empty((len(query), len(prototypes), prototypes.shape[1], query.shape[1]))
    for q, w, s, t in np.ndindex(*found.shape):
        one, other = prototypes[w, s], query[q, t]
        found[q, w, s, t] = 1 - one @ other / np.sqrt((one @ one) * (other @ other))
    return found


def plain_hausdorff(distances):
    found = np.empty(distances.shape[:-2])
    for place in np.ndindex(*found.shape):
        rows = distances[place]
        found[place] = sum(min(row) for row in rows) + sum(min(column) for column in rows.T)
    return found


def test_distances_of_frames(normal, check_values, check_gradient):
    query, prototypes = normal(3, 4, 6), normal(2, 5, 6, seed=1)
    check_values(frame_distances, plain_distances, query, prototypes)
    check_gradient(frame_distances, query, prototypes)


def test_hausdorff(normal, check_values, check_gradient):
    distances = normal(2, 3, 5, 4)
    check_values(hausdorff, plain_hausdorff, distances)
    check_gradient(hausdorff, distances)


def test_a_video_is_next_to_itself_in_any_order(normal):
    video = normal(1, 5, 6)
    np.testing.assert_allclose(hausdorff(frame_distances(video, video[:, ::-1])), 0, atol=1e-5)
    assert hausdorff(frame_distances(video, normal(1, 5, 6, seed=9))) > 1


def test_the_zero_vector_has_no_direction_and_a_finite_gradient():
    zero = np.zeros((2, 3), np.float32)
    assert not np.any(unit(zero))
    assert np.isfinite(jax.grad(lambda x: unit(x).sum())(zero)).all()
