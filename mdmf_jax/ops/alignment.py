"""OTAM: ordered temporal alignment of two frame sequences (Cao et al., CVPR 2020).

The recursion is the one that the published CLIP-FSAR and CLIP-MDMF code evaluates. A zero
column on either side of the cost matrix lets the alignment start and end anywhere along the
columns. The first row is a hard cumulative sum; later rows use a soft minimum:

    first column     C[l, 1]   = cost[l, 1] + softmin(C[l-1, 0], C[l-1, 1], C[l, 0])
    middle columns   C[l, m]   = cost[l, m] + softmin(C[l-1, m-1], C[l, m-1])
    padding column   C[l, M+1] =              softmin(C[l-1, M], C[l-1, M+1], C[l, M])

with C[l, 0] = 0 and softmin(a..) = -temperature * log(sum(exp(-a / temperature))). A softmin is
below the minimum, so values can be negative.

Three facts make it fast. In units of `temperature` a softmin of two values needs one
exponential and one logarithm: min(a, b) - log(1 + exp(-|a - b|)). The two zeros of the first
column are one value, -log 2. The padding column is one soft minimum over the last real column:
its C[l, M] enter twice, except the last, which enters once.

All pairs of videos lie in the last axes, so each cell is one vector operation; a scan runs
over the rows, and blocks of pairs keep the cells in a processor's cache. The gradient is
derived by hand: the derivative of the value with respect to a cell is the probability that
the soft alignment passes through it, and the weights of a softmin are the probabilities of its
moves.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import EPSILON, norm

_LOG2 = 0.6931471805599453
_BLOCK = 4096  # pairs; 64 cells of each in float32 take 1 MB


def _softmin(a: AnyArray, b: AnyArray) -> tuple[Array, Array]:
    """Soft minimum of two values in units of the temperature, and the weight of the first."""
    gap = a - b
    other = jnp.exp(-jnp.abs(gap))
    total = 1.0 + other
    return jnp.minimum(a, b) - jnp.log(total), jnp.where(gap <= 0, 1.0, other) / total


def _next_row(above: tuple[AnyArray, ...], costs: AnyArray):
    """A row of cells from the row above, its last cell and its moves' weights [M, *pairs].

    The weight of a cell is the probability that it is reached from above: diagonally, or in
    the first column vertically.
    """
    row, weights = [], []
    for column, cost in enumerate(costs):
        if column:
            reached, weight = _softmin(above[column - 1], row[-1])
        else:
            reached, weight = _softmin(above[0], jnp.full_like(cost, -_LOG2))
        # Without the barrier XLA fuses a cell into the next and computes it several times.
        cell, weight = jax.lax.optimization_barrier((reached + cost, weight))
        row.append(cell)
        weights.append(weight)
    return tuple(row), (row[-1], jnp.stack(weights))


def _forward(costs: AnyArray) -> tuple[Array, Array, Array]:
    """From costs [L, M, *pairs]: values [*pairs], weights [L-1, M, *pairs], ends [L, *pairs].

    The ends are the probabilities of the rows in which an alignment leaves the last column.
    """
    first = [costs[0, 0]]
    for cost in costs[0, 1:]:
        first.append(first[-1] + cost)
    _, (last, weights) = jax.lax.scan(_next_row, tuple(first), costs[1:])
    last = jnp.concatenate([first[-1][None], last])
    scores = -last + _LOG2
    scores = scores.at[-1].add(-_LOG2)
    highest = scores.max(axis=0)
    shares = jnp.exp(scores - highest)
    total = shares.sum(axis=0)
    return -(highest + jnp.log(total)), weights, shares / total


def _passing_row(below: tuple[AnyArray, ...], row: tuple[AnyArray, AnyArray]):
    """Probabilities of a row's cells [M, *pairs] from what the row below takes from each."""
    weights, end = row
    here, up = [*below[:-1], below[-1] + end], [jnp.zeros_like(end)] * len(below)
    for column in reversed(range(1, len(here))):
        up[column - 1] = weights[column] * here[column]
        here[column - 1] = here[column - 1] + (here[column] - up[column - 1])
    up[0] = up[0] + weights[0] * here[0]
    return tuple(up), jnp.stack(here)


def _backward(weights: AnyArray, ends: AnyArray) -> Array:
    """Probability of passing each cell [L, M, *pairs]."""
    nothing = (jnp.zeros_like(ends[0]),) * weights.shape[1]
    up, rows = jax.lax.scan(_passing_row, nothing, (weights, ends[1:]), reverse=True)
    # The first row is a cumulative sum: a cell is passed by all that pass a later one.
    first = [up[-1] + ends[0]]
    for taken in reversed(up[:-1]):
        first.append(first[-1] + taken)
    return jnp.concatenate([jnp.stack(first[::-1])[None], rows])


# Under vmap these get more axes of pairs; vmap's own rule would put them before the rows.
@custom_vmap
def _values(costs: AnyArray) -> Array:
    """[*pairs, L, M] -> [*pairs]."""
    return _forward(jnp.moveaxis(costs, (-2, -1), (0, 1)))[0]


@custom_vmap
def _values_and_passing(costs: AnyArray) -> tuple[Array, Array]:
    """[*pairs, L, M] -> values [*pairs] and probabilities of the cells [*pairs, L, M]."""
    values, weights, ends = _forward(jnp.moveaxis(costs, (-2, -1), (0, 1)))
    return values, jnp.moveaxis(_backward(weights, ends), (0, 1), (-2, -1))


@_values.def_vmap
def _(size, batched, costs):
    return _values(costs), True


@_values_and_passing.def_vmap
def _(size, batched, costs):
    return _values_and_passing(costs), (True, True)


def _by_blocks(function, costs: AnyArray):
    """`function` of costs [N, L, M], a block of pairs after the other."""
    count, *cells = costs.shape
    if count <= _BLOCK:
        return function(costs)
    size = max(n for n in range(1, _BLOCK + 1) if count % n == 0)
    size = size if size > _BLOCK // 4 else _BLOCK
    blocks = -(-count // size)
    if blocks * size > count:
        costs = jnp.pad(costs, ((0, blocks * size - count), (0, 0), (0, 0)))
    result = jax.lax.map(function, costs.reshape(blocks, size, *cells))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], result)


def _flat_cost(costs: AnyArray, temperature: float) -> Array:
    """`alignment_cost` of [N, L, M]."""
    return _by_blocks(lambda block: temperature * _values(block / temperature), costs)


_alignment_cost = jax.custom_vjp(_flat_cost, nondiff_argnums=(1,))


def _alignment_cost_forward(costs: AnyArray, temperature: float) -> tuple[Array, Array]:
    def block_result(block):
        values, passing = _values_and_passing(block / temperature)
        return temperature * values, passing

    return _by_blocks(block_result, costs)


def _alignment_cost_backward(
    temperature: float, passing: AnyArray, cotangent: AnyArray
) -> tuple[AnyArray]:
    return (cotangent[:, None, None] * passing,)


_alignment_cost.defvjp(_alignment_cost_forward, _alignment_cost_backward)


def alignment_cost(
    costs: Float[AnyArray, "*batch L M"], temperature: float = 0.5
) -> Float[Array, "*batch"]:
    """Soft cost of the best ordered alignment of L rows with M columns, in one direction.

    Args:
      costs: cost of matching row l with column m.
      temperature: temperature of the soft minimum (lambda); 0.5 in CLIP-FSAR and CLIP-MDMF,
        0.1 in the OTAM baseline.

    Differentiable once, in reverse mode.
    """
    *batch, rows, columns = costs.shape
    flat = costs.reshape(-1, rows, columns)
    return _alignment_cost(flat, temperature).reshape(batch)


def _bidirectional_cost(costs: AnyArray, temperature: float) -> Array:
    """Sum of the alignment costs with rows and columns as they are and exchanged."""
    exchanged = jnp.swapaxes(costs, -1, -2)
    if costs.shape == exchanged.shape:  # one recursion to compile instead of two
        return alignment_cost(jnp.stack([costs, exchanged]), temperature).sum(axis=0)
    return alignment_cost(costs, temperature) + alignment_cost(exchanged, temperature)


def frame_costs(
    query: Float[AnyArray, "*views Q T D"],
    prototypes: Float[AnyArray, "*views W S D"],
    epsilon: float = EPSILON,
) -> Float[Array, "*views Q W T S"]:
    """1 - cosine of every frame of every query with every frame of every prototype.

    The cosine is that of `pairwise_cosine`, in one matrix product for all queries and
    prototypes of a view.
    """
    flat = [x.reshape(*x.shape[:-3], -1, x.shape[-1]) for x in (query, prototypes)]
    products = jnp.einsum("...nd,...md->...nm", *flat)
    sizes = (*query.shape[-3:-1], *prototypes.shape[-3:-1])
    products = jnp.swapaxes(products.reshape(*products.shape[:-2], *sizes), -2, -3)
    lengths = norm(query)[..., :, None, :, None] * norm(prototypes)[..., None, :, None, :]
    return 1.0 - products / (lengths + epsilon)


def otam_distance(
    query: Float[AnyArray, "*views Q T D"],
    prototypes: Float[AnyArray, "*views W S D"],
    temperature: float = 0.5,
    bidirectional: bool = True,
) -> Float[Array, "*views Q W"]:
    """OTAM distance of every query to every prototype, from frame costs 1 - cosine.

    The rows of the alignment are the frames of the query. With `bidirectional` the cost with
    rows and columns exchanged is added.
    """
    align = _bidirectional_cost if bidirectional else alignment_cost  # [*views, Q, W, T, S]
    return align(frame_costs(query, prototypes), temperature)
