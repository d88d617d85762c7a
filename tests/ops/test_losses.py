import numpy as np
import pytest

from mdmf_jax.ops.losses import cross_entropy

LABELS = np.array([2, 0, 1, 2])


def numpy_losses(logits):
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.array([-np.log(row[label]) for row, label in zip(probabilities, LABELS, strict=True)])


@pytest.mark.parametrize("reduction, reduce", [("sum", np.sum), ("mean", np.mean)])
def test_cross_entropy(reduction, reduce, normal, check_values, check_gradient):
    logits = normal(4, 3)

    def loss(x):
        return cross_entropy(x, LABELS, reduction)

    check_values(loss, lambda x: reduce(numpy_losses(x)), logits)
    check_gradient(loss, logits)


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, 0.0, -1e4]], np.float32)
    assert cross_entropy(logits, np.array([2])) == pytest.approx(2e4)


def test_unknown_reduction():
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        cross_entropy(np.zeros((1, 2)), np.array([0]), "max")
