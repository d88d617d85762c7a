"""Runs the multiple-level segment transformer on a parity case, with the tuples it drew.

The published fusion of the two distances is a linear layer with BatchNorm for five classes in
a fixed order. The package has another one, for any classes in any order, so the published one
is applied here to the package's distances.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from baseline_case import norm_layer, tuple_layer
from synth import state_dict

from mdmf_jax.models.layers.tuple_matcher import TupleMatcher, TupleOptions
from mdmf_jax.ops.tuples import frame_tuples

BATCH_NORM_EPSILON = 1e-5


def head_params(weights: dict[str, np.ndarray], dim: int, levels: int) -> dict[str, Any]:
    """Parameters of our TupleMatcher; its own fusion is not used."""
    params = {"norm": norm_layer(weights, "norm_k"), "fusion": np.ones(2)}
    for index in range(levels):
        for ours, theirs in (("keys", "k_linear_s"), ("values", "v_linear_s")):
            weight, bias = (weights[f"{theirs}.{index}.{x}"] for x in ("weight", "bias"))
            params[f"{ours}_{index}"] = tuple_layer(weight, bias, dim)
    return params


def published_fusion(weights: dict[str, np.ndarray], l2, transport) -> np.ndarray:
    """Logits [Q, 5] from both kinds [Q, 5], with the running statistics of BatchNorm."""
    both = np.concatenate([l2, transport], axis=-1)
    hidden = both @ weights["fusion_linear_one.weight"].T + weights["fusion_linear_one.bias"]
    mean, variance, scale, bias = (
        weights[f"batch_norm.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (hidden - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) * scale + bias


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): the three kinds of logits."""
    case = json.loads(settings.read_text())
    expected = dict(np.load(settings.with_suffix(".npz")))
    weights = state_dict(case["params"], seed=case["seed"])
    order = np.argsort(expected.pop("support_labels"), kind="stable")
    expected.pop("query_labels")
    support, query = expected.pop("support_features")[order], expected.pop("query_features")
    levels = case["levels"]
    tuples = [
        frame_tuples(case["frames"], level)[expected.pop(f"picked_level_{index}")]
        for index, level in enumerate(levels)
    ]
    matcher = TupleMatcher(
        TupleOptions(
            levels=tuple(levels), counts=tuple(case["tuples_per_level"]), width=case["out_dim"]
        )
    )
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    params, support, query = jax.tree.map(
        lambda x: jnp.asarray(x, precise),
        (head_params(weights, case["dim"], len(levels)), support, query),
    )

    def logits(matcher, support, query):
        tokens = jax.tree.map(
            lambda x: x.reshape(case["way"], case["shot"], *x.shape[1:]),
            matcher.encode(support, tuples),
        )
        return matcher.logits(tokens, matcher.encode(query, tuples))

    @jax.jit
    def forward(params, support, query):
        return matcher.apply({"params": params}, support, query, method=logits)

    ours = forward(params, support, query)
    ours = {"l2_logits": ours["l2"], "ot_logits": ours["transport"]}
    fused = published_fusion(weights, *(np.asarray(x, np.float64) for x in ours.values()))
    return ours | {"fusion_logits": fused}, expected
