"""Pairs of videos a second through OTAM's alignment."""

import jax
import jax.numpy as jnp

from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.timing import compile_program, seconds_of, summarise
from mdmf_jax.ops.alignment import alignment_cost


def _total(costs: jax.Array) -> jax.Array:
    return alignment_cost(costs).sum()


def measure(*, pairs: int = 1_000_000, frames: int = 8, repeats: int = 5) -> list[Measurement]:
    """The alignment cost of random cost matrices, and its value with the gradient.

    One direction, as `alignment_cost` is called: costs [pairs, frames, frames] in float32.
    """
    costs = jax.random.uniform(jax.random.key(0), (pairs, frames, frames), jnp.float32)
    functions = {"forward": alignment_cost, "value_and_gradient": jax.value_and_grad(_total)}
    measured = []
    for name, function in functions.items():
        program = compile_program(function, costs)
        seconds = seconds_of(lambda run=program.call: run(costs), repeats)
        measured.append(
            summarise(
                f"otam/{name}",
                seconds,
                items=pairs,
                unit="pairs/s",
                settings={"pairs": pairs, "frames": frames},
                peak_bytes=program.peak_bytes,
            )
        )
    return measured
