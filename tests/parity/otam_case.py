"""Runs the OTAM recursion on a parity case."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.ops.alignment import alignment_cost


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): values and the gradient of their sum."""
    temperature = json.loads(settings.read_text())["smoothing"]
    expected = dict(np.load(settings.with_suffix(".npz")))
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    costs = jnp.asarray(expected.pop("distances"), precise)

    def total(costs):
        values = alignment_cost(costs, temperature)
        return values.sum(), values

    gradient, values = jax.grad(total, has_aux=True)(costs)
    return {"result": values, "grad_of_sum": gradient}, expected
