import numpy as np

from mdmf_jax.ops.prototypes import class_means


def test_class_means(normal, check_values, check_gradient):
    support = normal(3, 4, 2, 5)
    check_values(class_means, lambda s: np.mean(s, axis=1), support)
    check_gradient(class_means, support)


def test_masked_shots_do_not_count(normal, check_gradient):
    support = normal(3, 4, 2, 5)
    shots = [1, 4, 2]
    mask = np.arange(4)[None] < np.array(shots)[:, None]
    expected = [support[way, :count].mean(0) for way, count in enumerate(shots)]
    np.testing.assert_allclose(class_means(support, mask), expected, rtol=1e-5)
    check_gradient(lambda s: class_means(s, mask), support)
