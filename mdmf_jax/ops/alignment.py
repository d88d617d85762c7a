"""OTAM: ordered temporal alignment of two frame sequences (Cao et al., CVPR 2020).

The recursion is the one that the published CLIP-FSAR and CLIP-MDMF code evaluates. A zero
column on either side of the cost matrix lets the alignment start and end anywhere along the
columns. The first row is a hard cumulative sum; later rows use a soft minimum:

    first column     C[l, 1]   = cost[l, 1] + softmin(C[l-1, 0], C[l-1, 1], C[l, 0])
    middle columns   C[l, m]   = cost[l, m] + softmin(C[l-1, m-1], C[l, m-1])
    padding column   C[l, M+1] =              softmin(C[l-1, M], C[l-1, M+1], C[l, M])

with C[l, 0] = 0 and softmin(a..) = -smoothing * log(sum(exp(-a / smoothing))). A softmin is
below the minimum, so values can be negative.

All pairs of videos lie in the last axis, so each cell is one vector operation; a scan runs
over the rows. The gradient is derived by hand: the derivative of the value with respect to
a cell is the probability that the soft alignment passes through it, and the weights of a
softmin are the probabilities of its moves.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.similarity import pairwise_cosine


def _moves(above: Array, row: list[Array], column: int, last: int) -> list[Array]:
    """Values of the cells from which the alignment may step into `column` of the row."""
    diagonal, vertical, left = above[column - 1], above[column], row[column - 1]
    return [diagonal, left, vertical] if column in (1, last) else [diagonal, left]


def _softmin(values: list[Array], smoothing: float) -> tuple[Array, list[Array]]:
    """Soft minimum in log-sum-exp form, and the probability of each value."""
    lowest = values[0]
    for value in values[1:]:
        lowest = jnp.minimum(lowest, value)
    weights = [jnp.exp((lowest - value) / smoothing) for value in values]
    total = sum(weights)
    return lowest - smoothing * jnp.log(total), [weight / total for weight in weights]


def _cumulative_costs(costs: Array, smoothing: float) -> tuple[Array, Array]:
    """Table C of `costs` [L, M, pairs]: first row [M+2, pairs], other rows [L-1, M+2, pairs]."""
    _, columns, pairs = costs.shape
    last = columns + 1
    zero = jnp.zeros((1, pairs), costs.dtype)
    sums = jnp.cumsum(costs[0], axis=0)
    first = jnp.concatenate([zero, sums, sums[-1:]])

    def next_row(above, cost):
        row = [zero[0]]
        for column in range(1, last + 1):
            reached, _ = _softmin(_moves(above, row, column, last), smoothing)
            row.append(reached if column == last else reached + cost[column - 1])
        row = jnp.stack(row)
        return row, row

    return first, jax.lax.scan(next_row, first, costs[1:])[1]


def _passing_row(passing: Array, table: tuple[Array, Array], smoothing: float):
    """One row of the backward recursion: (probabilities of the row above so far, of this row)."""
    above, row = table
    last = row.shape[0] - 1
    here = list(passing)
    up = [jnp.zeros_like(here[0])] * (last + 1)
    for column in reversed(range(1, last + 1)):
        moves = _moves(above, list(row), column, last)
        _, weights = _softmin(moves, smoothing)
        up[column - 1] = up[column - 1] + weights[0] * here[column]
        here[column - 1] = here[column - 1] + weights[1] * here[column]
        if len(weights) == 3:
            up[column] = up[column] + weights[2] * here[column]
    return jnp.stack(up), jnp.stack(here[1:last])


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _alignment_cost(costs: Array, smoothing: float) -> Array:
    """`alignment_cost` with the layout [L, M, pairs] -> [pairs]."""
    return _alignment_cost_forward(costs, smoothing)[0]


def _alignment_cost_forward(costs: Array, smoothing: float):
    first, rest = _cumulative_costs(costs, smoothing)
    table = jnp.concatenate([first[None], rest])
    return table[-1, -1], table


def _alignment_cost_backward(smoothing: float, table: Array, cotangent: Array):
    end = jnp.zeros_like(table[0]).at[-1].set(cotangent)
    passing, rows = jax.lax.scan(
        partial(_passing_row, smoothing=smoothing), end, (table[:-1], table[1:]), reverse=True
    )
    # The first row is a cumulative sum: a cell is passed by all that pass a later one.
    first = jnp.cumsum(passing[::-1], axis=0)[::-1][1:-1]
    return (jnp.concatenate([first[None], rows]),)


_alignment_cost.defvjp(_alignment_cost_forward, _alignment_cost_backward)


def alignment_cost(
    costs: Float[Array, "*batch L M"], smoothing: float = 0.5
) -> Float[Array, "*batch"]:
    """Soft cost of the best ordered alignment of L rows with M columns, in one direction.

    Args:
      costs: cost of matching row l with column m.
      smoothing: temperature of the soft minimum (lambda); 0.5 in CLIP-FSAR and CLIP-MDMF,
        0.1 in the OTAM baseline.

    Differentiable in reverse mode.
    """
    *batch, rows, columns = costs.shape
    flat = jnp.moveaxis(costs.reshape(-1, rows, columns), 0, -1)
    return _alignment_cost(flat, smoothing).reshape(batch)


def _bidirectional_cost(costs: Array, smoothing: float) -> Array:
    """Sum of the alignment costs with rows and columns as they are and exchanged."""
    exchanged = jnp.swapaxes(costs, -1, -2)
    if costs.shape == exchanged.shape:  # one recursion to compile instead of two
        return alignment_cost(jnp.stack([costs, exchanged]), smoothing).sum(axis=0)
    return alignment_cost(costs, smoothing) + alignment_cost(exchanged, smoothing)


def otam_distance(
    query: Float[Array, "*views Q T D"],
    prototypes: Float[Array, "*views W S D"],
    smoothing: float = 0.5,
    bidirectional: bool = True,
) -> Float[Array, "*views Q W"]:
    """OTAM distance of every query to every prototype, from frame costs 1 - cosine.

    The rows of the alignment are the frames of the query. With `bidirectional` the cost with
    rows and columns exchanged is added.
    """
    costs = 1.0 - pairwise_cosine(query[..., :, None, :, :], prototypes[..., None, :, :, :])
    align = _bidirectional_cost if bidirectional else alignment_cost  # [*views, Q, W, T, S]
    return align(costs, smoothing)
