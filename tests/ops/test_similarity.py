import jax
import numpy as np

from mdmf_jax.ops.similarity import cosine, norm, pairwise_cosine


def numpy_cosine(x, y):
    return (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1) + 0.01)


def numpy_pairwise(x, y):
    return np.array([[numpy_cosine(a, b) for b in y] for a in x])


def test_cosine(normal, check_values, check_gradient):
    x, y = normal(6, 5), normal(6, 5, seed=1)
    check_values(cosine, numpy_cosine, x, y)
    check_gradient(cosine, x, y)


def test_pairwise_cosine(normal, check_values, check_gradient):
    x, y = normal(4, 5), normal(3, 5, seed=1)
    check_values(pairwise_cosine, numpy_pairwise, x, y)
    check_gradient(pairwise_cosine, x, y)


def test_epsilon_is_added_to_the_product_of_norms():
    small = np.array([0.1, 0.0], np.float32)
    np.testing.assert_allclose(cosine(small, small), 0.01 / (0.01 + 0.01), rtol=1e-6)


def test_gradient_at_the_zero_vector_is_zero():
    zero, other = np.zeros(3, np.float32), np.ones(3, np.float32)
    np.testing.assert_array_equal(jax.grad(norm)(zero), np.zeros(3))
    gradient = jax.grad(lambda x: cosine(x, other))(zero)
    np.testing.assert_allclose(gradient, other / 0.01)
