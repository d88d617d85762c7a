"""Optimal transport with entropy between two sets of tokens: Sinkhorn, in the log domain.

The plan P = exp(f_i + g_j - strength * cost_ij) has the column sums 1 / M exactly and the row
sums 1 / N as far as the iteration got. Rounds (rows, then columns) stop for each pair of sets
alone, when no row sum changes by more than `tolerance` from one round to the next, or after
`iterations` rounds. That is the rule of the published code of TSA-MLT, which has no limit of
rounds and scales exp(-cost) itself, so that large costs underflow.

The gradient is that of the plan, not of the rounds that found it. Where the plan stays a
Sinkhorn plan with its row and column sums, the potentials follow the cost by a linear system of
M unknowns (the implicit function theorem), which the backward pass solves. It needs no memory
for the rounds and is right at convergence, and if the limit of rounds was reached as well: then
it is the gradient at the row sums that the plan has.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import norm

ITERATIONS = 100
TOLERANCE = 1e-5


class _Round(NamedTuple):
    """State of the iteration; a pair that is done keeps its potentials."""

    number: Array
    rows: Float[Array, "*batch N"]  # f
    columns: Float[Array, "*batch M"]  # g
    row_sums: Float[Array, "*batch N"]  # before the latest round
    done: Bool[Array, "*batch"]


def transport_plan(
    costs: Float[AnyArray, "*batch N M"],
    strength: float = 1.0,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Float[Array, "*batch N M"]:
    """The plan that moves 1/N from each row to 1/M at each column; not to be differentiated.

    Args:
      strength: what the costs are multiplied by; larger is closer to the cheapest plan.
      iterations: limit of the rounds.
      tolerance: largest change of a row sum, in a round, at which a pair is done.
    """
    scores = -strength * costs
    *batch, rows, columns = scores.shape
    # As in the published code, the first row sums are those of a kernel that sums to one.
    scores = scores - logsumexp(scores, axis=(-2, -1), keepdims=True)

    def log_row_sums(state: _Round) -> Array:
        return state.rows + logsumexp(scores + state.columns[..., None, :], axis=-1)

    def unfinished(state: _Round) -> Array:
        return (state.number < iterations) & ~state.done.all()

    def improve(state: _Round) -> _Round:
        log_sums = log_row_sums(state)
        sums = jnp.exp(log_sums)
        done = state.done | (jnp.abs(sums - state.row_sums).max(-1) <= tolerance)
        f = jnp.where(done[..., None], state.rows, state.rows - log_sums - jnp.log(rows))
        g = -jnp.log(columns) - logsumexp(scores + f[..., :, None], axis=-2)
        g = jnp.where(done[..., None], state.columns, g)
        return _Round(state.number + 1, f, g, sums, done)

    start = _Round(
        jnp.zeros((), jnp.int32),
        jnp.zeros((*batch, rows), scores.dtype),
        jnp.zeros((*batch, columns), scores.dtype),
        jnp.zeros((*batch, rows), scores.dtype),
        jnp.zeros(batch, bool),
    )
    end = jax.lax.while_loop(unfinished, improve, start)
    return jnp.exp(scores + end.rows[..., :, None] + end.columns[..., None, :])


def _cost(
    costs: Float[AnyArray, "*batch N M"],
    strength: float = 1.0,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Float[Array, "*batch"]:
    """Mean cost sum(P * costs) of the plan of `transport_plan`, with its gradient."""
    return _forward(costs, strength, iterations, tolerance)[0]


transport_cost = jax.custom_vjp(_cost, nondiff_argnums=(1, 2, 3))


def _forward(costs: AnyArray, strength: float, iterations: int, tolerance: float):
    plan = transport_plan(costs, strength, iterations, tolerance)
    return (plan * costs).sum((-2, -1)), (costs, plan)


def _backward(strength: float, iterations: int, tolerance: float, saved, cotangent: AnyArray):
    """cotangent * P * (1 + strength * (f_i + g_j - costs)), f and g the adjoint potentials.

    They solve  diag(row sums) f + P g = a  and  P^T f + diag(column sums) g = b, where a and b
    are the costs that the plan carries from each row and to each column.
    """
    costs, plan = saved
    carried = plan * costs
    a, b = carried.sum(-1), carried.sum(-2)
    row_sums, column_sums = plan.sum(-1), plan.sum(-2)
    size = plan.shape[-1]
    share = plan / row_sums[..., :, None]  # sums to one in each row
    reduced = column_sums[..., None] * jnp.eye(size) - jnp.einsum("...ij,...ik->...jk", plan, share)
    # A constant may move between f and g. The first term fixes it; the second keeps a plan
    # that pairs the tokens one to one, and so determines g no further, from dividing by zero.
    steady = jnp.full((size, size), size**-2.0) + (
        100 * jnp.finfo(plan.dtype).eps / size
    ) * jnp.eye(size)
    right = b - jnp.einsum("...ij,...i->...j", share, a)
    g = _solve(reduced + steady.astype(plan.dtype), right)
    f = a / row_sums - jnp.einsum("...ij,...j->...i", share, g)
    gradient = plan * (1 + strength * (f[..., :, None] + g[..., None, :] - costs))
    return (cotangent[..., None, None] * gradient,)


transport_cost.defvjp(_forward, _backward)


def _solve(
    matrix: Float[AnyArray, "*batch M M"], right: Float[AnyArray, "*batch M"]
) -> Float[Array, "*batch M"]:
    """x with matrix x = right, for positive definite matrices.

    Plain elimination, all systems of the batch at once: calling LAPACK for each of thousands
    of small systems takes longer, and can block XLA's few threads on a CPU.
    """

    def eliminate(k: Array, rows: Array) -> Array:
        pivot = rows[..., k, :] / rows[..., k, k, None]
        column = rows[..., :, k].at[..., k].set(0.0)
        return (rows - column[..., :, None] * pivot[..., None, :]).at[..., k, :].set(pivot)

    rows = jnp.concatenate([matrix, right[..., None]], axis=-1)
    return jax.lax.fori_loop(0, matrix.shape[-1], eliminate, rows)[..., -1]


def pairwise_distance(
    x: Float[AnyArray, "*#batch N D"], y: Float[AnyArray, "*#batch M D"]
) -> Float[Array, "*#batch N M"]:
    """Euclidean distance of every vector of `x` to every vector of `y`."""
    squared = jnp.square(norm(x))[..., :, None] + jnp.square(norm(y))[..., None, :]
    squared = squared - 2 * jnp.einsum("...nd,...md->...nm", x, y)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
