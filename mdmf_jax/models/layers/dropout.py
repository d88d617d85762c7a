"""Dropout whose random numbers cost next to nothing."""

import jax
import jax.numpy as jnp
from flax import linen as nn


def keep_mask(key: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
    """Booleans, each False with probability `rate`, all a function of the key and the shape.

    A hash of the element's number and of 64 bits drawn from the key. JAX's own generators are
    made to a higher standard, and on a CPU they take as long as the head's matrix products.
    """
    seeds = jax.random.bits(key, (2,), jnp.uint32)
    numbers = jnp.zeros(shape, jnp.uint32)
    for axis, size in enumerate(shape):
        numbers = numbers * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    bits = _mix(_mix(numbers ^ seeds[0]) + seeds[1])
    return bits >= jnp.uint32(round(rate * 2**32))


def _mix(x: jax.Array) -> jax.Array:
    """A bijection of 32-bit numbers in which every input bit changes each output bit half of
    the time: multiplications and shifts, with constants found by search (lowbias32; Wellons,
    "Prospecting for Hash Functions", 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0xD35A2D97)
    return x ^ (x >> 15)


class Dropout(nn.Module):
    """Sets values to zero with probability `rate` and divides the others by 1 - rate.

    Srivastava et al. 2014. Needs the rng "dropout" in training; the identity otherwise.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if not train or self.rate == 0:
            return x
        keep = keep_mask(self.make_rng("dropout"), self.rate, x.shape)
        return jnp.where(keep, x / (1 - self.rate), 0)
