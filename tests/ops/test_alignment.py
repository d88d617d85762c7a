import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from mdmf_jax.ops.alignment import alignment_cost, otam_distance

CASES = Path(__file__).parents[1] / "parity" / "heads"


def numpy_alignment(costs, temperature):
    """The published recursion, cell by cell, for costs [L, M] in float64."""
    rows, columns = costs.shape
    padded = np.zeros((rows, columns + 2))
    padded[:, 1:-1] = costs
    table = np.zeros((rows, columns + 2))
    table[0] = np.cumsum(padded[0])

    def softmin(*values):
        return -temperature * np.logaddexp.reduce([-value / temperature for value in values])

    for row, m in itertools.product(range(1, rows), range(1, columns + 2)):
        moves = [table[row - 1, m - 1], table[row, m - 1]]
        if m in (1, columns + 1):
            moves.append(table[row - 1, m])
        table[row, m] = padded[row, m] + softmin(*moves)
    return table[-1, -1]


def numpy_batch(temperature):
    def align(costs):
        flat = costs.reshape(-1, *costs.shape[-2:]).astype(np.float64)
        values = [numpy_alignment(matrix, temperature) for matrix in flat]
        return np.array(values).reshape(costs.shape[:-2])

    return align


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 9), (2, 9, 4), (2, 1, 6), (2, 6, 1)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_alignment_cost(shape, temperature, check_values, check_gradient):
    costs = uniform(*shape)
    check_values(
        lambda c: alignment_cost(c, temperature),
        numpy_batch(temperature),
        costs,
        rtol=1e-5,
        atol=1e-5,
    )
    check_gradient(lambda c: alignment_cost(c, temperature), costs[:1])


@pytest.mark.parametrize(
    "costs, temperature, value",
    [
        (np.zeros((8, 8)), 0.5, -4.217774601),
        (np.zeros((8, 8)), 0.1, -0.843554920),
        (np.ones((8, 8)), 0.5, 4.203566941),
        (np.ones((8, 8)), 0.1, 7.250832184),
        (np.arange(64).reshape(8, 8) / 64, 0.5, -1.292401020),
        (np.arange(64).reshape(8, 8).T / 64, 0.5, -0.210406651),
        (np.arange(64).reshape(8, 8) / 64, 0.1, 0.331829702),
        (np.arange(64).reshape(8, 8).T / 64, 0.1, 3.037191990),
    ],
)
def test_known_values(costs, temperature, value):
    with jax.enable_x64(True):
        np.testing.assert_allclose(alignment_cost(costs, temperature), value, atol=1e-9)


@pytest.mark.parametrize("case", sorted(CASES.glob("otam_recursion_*.json")), ids=lambda p: p.stem)
def test_published_recursion(case):
    temperature = json.loads(case.read_text())["smoothing"]
    arrays = np.load(case.with_suffix(".npz"))
    costs = arrays["distances"]
    value = alignment_cost(costs, temperature)
    gradient = jax.grad(lambda c: alignment_cost(c, temperature).sum())(costs)
    for name, ours in (("result", value), ("grad_of_sum", gradient)):
        tolerance = {"result": 1e-5, "grad_of_sum": 1e-4}[name]
        error = np.abs(ours - arrays[name]).max() / np.abs(arrays[name]).max()
        assert error <= tolerance, name


def test_published_cases_are_here():
    assert len(list(CASES.glob("otam_recursion_*.json"))) == 4


def test_large_costs_do_not_overflow():
    """exp(-cost / temperature) is zero in float32 here; a literal softmin gives infinity."""
    costs = uniform(8, 8) + 40.0
    value, gradient = jax.value_and_grad(lambda c: alignment_cost(c, 0.1))(costs)
    np.testing.assert_allclose(value, numpy_alignment(costs.astype(np.float64), 0.1), rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_otam_distance_sums_both_directions(normal):
    query, prototypes = normal(3, 8, 4), normal(2, 8, 4, seed=1)
    lengths = np.linalg.norm(query, axis=-1)[:, None, :, None]
    lengths = lengths * np.linalg.norm(prototypes, axis=-1)[None, :, None, :]
    costs = 1 - np.einsum("qtd,wsd->qwts", query, prototypes) / (lengths + 0.01)
    one_way = numpy_batch(0.5)(costs)
    both = one_way + numpy_batch(0.5)(np.swapaxes(costs, -1, -2))
    single = otam_distance(query, prototypes, bidirectional=False)
    np.testing.assert_allclose(single, one_way, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(otam_distance(query, prototypes), both, rtol=1e-4, atol=1e-5)


def test_order_of_frames_matters(normal):
    frames = normal(1, 8, 16)
    same = otam_distance(frames, frames)[0, 0]
    reversed_ = otam_distance(frames[:, ::-1], frames)[0, 0]
    assert same < reversed_
