import numpy as np

from mdmf_jax.ops.prototypes import class_means, text_means


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


def test_text_means(normal, check_gradient):
    texts = normal(3, 4, 5)
    np.testing.assert_allclose(text_means(texts), texts.mean(1), rtol=1e-5, atol=1e-6)
    counts = [1, 4, 2]
    mask = np.arange(4)[None] < np.array(counts)[:, None]
    there = [own[:count] for own, count in zip(texts, counts, strict=True)]
    plain = [own.mean(0) for own in there]
    np.testing.assert_allclose(text_means(texts, mask), plain, rtol=1e-5, atol=1e-6)
    units = [(own / np.linalg.norm(own, axis=1, keepdims=True)).mean(0) for own in there]
    expected = [mean / np.linalg.norm(mean) for mean in units]
    found = text_means(texts, mask, normed=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    check_gradient(lambda t: text_means(t, mask, normed=True), texts)
