"""A batch of episodes in pieces, so that its size does not decide how much memory it takes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def pieces_of(episodes: int, devices: int, at_once: int) -> int:
    """Pieces of a batch whose episodes lie on `devices`, equally many on each.

    The least number of equal pieces with at most `at_once` episodes a device; 0: one piece.
    """
    each = episodes // devices
    most = min(at_once, each) if at_once else each
    size = max(n for n in range(1, most + 1) if each % n == 0)
    return each // size


def mean_over_pieces(function: Callable[[Any], Any], batch: Any, pieces: int, mesh: Mesh) -> Any:
    """Mean of function(piece) over the pieces of a batch, one after the other (`lax.scan`).

    Args:
      function: from a piece, arrays [E / pieces, ...], to a tree of arrays.
      batch: arrays [E, ...], their first axis over `data`. Each piece takes equally many
        episodes of every device, so that none of them moves.
    """
    if pieces == 1:
        return function(batch)
    devices = mesh.shape["data"]
    spread = NamedSharding(mesh, P("data"))

    def by_device(x):  # [E, ...] -> [devices, E / devices, ...]
        return lax.with_sharding_constraint(x.reshape(devices, -1, *x.shape[1:]), spread)

    laid_out = jax.tree.map(by_device, batch)

    def piece(index):
        def take(x):
            size = x.shape[1] // pieces
            taken = lax.dynamic_slice_in_dim(x, index * size, size, axis=1)
            taken = taken.reshape(devices * size, *x.shape[2:])
            return lax.with_sharding_constraint(taken, spread)

        return function(jax.tree.map(take, laid_out))

    def add(total, index):
        return jax.tree.map(lambda a, b: a + b / pieces, total, piece(index)), None

    shapes = jax.eval_shape(piece, 0)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return lax.scan(add, zeros, jnp.arange(pieces))[0]
