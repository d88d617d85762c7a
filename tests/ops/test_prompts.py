import jax
import numpy as np

from mdmf_jax.ops import prompts as pps


def numpy_agreement(features, texts):
    queries, frames, _ = features.shape
    out = np.zeros((queries, len(texts), frames))
    for q, w, t in np.ndindex(out.shape):
        x, y = features[q, t], texts[w]
        out[q, w, t] = x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + 0.01)
    return out


def test_best_frames_keep_temporal_order(normal):
    features, scores = normal(3, 6, 4), normal(3, 6, seed=1)
    expected = [
        video[sorted(np.argsort(-score)[:3])] for video, score in zip(features, scores, strict=True)
    ]

    def best(f, s):
        return pps.best_frames(f, s, 3)

    np.testing.assert_array_equal(best(features, scores), expected)
    np.testing.assert_array_equal(jax.jit(best)(features, scores), expected)
    np.testing.assert_array_equal(jax.vmap(best)(features, scores), expected)


def test_best_frames_gradient_reaches_the_chosen_frames_only(normal):
    features, scores = normal(2, 5, 3), normal(2, 5, seed=1)
    gradient = jax.grad(lambda f: pps.best_frames(f, scores, 2).sum())(features)
    chosen = np.zeros((2, 5, 1))
    for video in range(2):
        chosen[video, np.argsort(-scores[video])[:2]] = 1
    np.testing.assert_array_equal(gradient, np.broadcast_to(chosen, gradient.shape))


def test_frame_agreement(normal, check_values, check_gradient):
    features, texts = normal(3, 6, 4), normal(2, 4, seed=1)
    check_values(pps.frame_agreement, numpy_agreement, features, texts)
    check_gradient(pps.frame_agreement, features, texts)


def test_class_agreement(normal, check_values, check_gradient):
    agreement = normal(3, 2, 6)

    def expected(a):
        return np.sort(a, axis=-1)[..., -4:].mean(-1)

    check_values(lambda a: pps.class_agreement(a, 4), expected, agreement)
    check_gradient(lambda a: pps.class_agreement(a, 4), agreement)


def test_prompt_probability(normal, check_values, check_gradient):
    agreement = 0.01 * normal(3, 5)

    def expected(a):
        weights = np.exp(200.0 * a.astype(np.float64))
        return weights / weights.sum(-1, keepdims=True)

    check_values(pps.prompt_probability, expected, agreement)
    check_gradient(lambda a: pps.prompt_probability(a, 2.0), agreement)


def test_select_prompt_arg_max_and_frequencies():
    probability = np.array([[0.1, 0.6, 0.3], [0.0, 0.0, 1.0]], np.float32)
    np.testing.assert_array_equal(pps.select_prompt(probability), [1, 2])
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.vmap(lambda key: pps.select_prompt(probability, key))(keys))
    frequencies = [(drawn[:, 0] == c).mean() for c in range(3)]
    np.testing.assert_allclose(frequencies, probability[0], atol=0.04)  # 5 standard deviations
    assert (drawn[:, 1] == 2).all()
    again = jax.jit(pps.select_prompt)(probability, keys[0])
    np.testing.assert_array_equal(again, drawn[0])
