"""Runs the baseline heads (OTAM, mean pooling, TRX) on a parity case, from frame features."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clip_fsar_case import features
from synth import state_dict

from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.mean_pool import MeanPool
from mdmf_jax.models.methods.otam import OTAM
from mdmf_jax.models.methods.trx import TRX, TRXConfig


def tuple_layer(weight: np.ndarray, bias: np.ndarray, dim: int) -> dict[str, np.ndarray]:
    """Parameters of our TupleProjection from a linear layer on concatenated frames."""
    size = weight.shape[1] // dim
    return {"kernel": weight.T.reshape(size, dim, -1), "bias": bias}


def norm_layer(weights: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}


def trx(weights: dict[str, np.ndarray], dim: int) -> tuple[TRX, dict[str, Any]]:
    """The method with the cardinalities that the weights have, and its parameters."""
    params, sizes, width = {}, [], 0
    while f"transformers.{(index := len(sizes))}.k_linear.weight" in weights:
        part = f"transformers.{index}"
        for ours, theirs in (("keys", "k_linear"), ("values", "v_linear")):
            weight, bias = (weights[f"{part}.{theirs}.{x}"] for x in ("weight", "bias"))
            params[f"{ours}_{index}"] = tuple_layer(weight, bias, dim)
        params[f"norms_{index}"] = norm_layer(weights, f"{part}.norm_k")
        sizes.append(weight.shape[1] // dim)
        width = len(weight)
    return TRX(TRXConfig(cardinalities=tuple(sizes), width=width)), params


def method(case: dict[str, Any], name: str) -> tuple[FewShotMethod, dict[str, Any]]:
    """The method that a case's weights or name stand for, and its parameters."""
    weights = state_dict(case["params"], seed=case["seed"])
    if any("k_linear" in key for key in weights):
        return trx(weights, case["dim"])
    return (OTAM() if name.startswith("otam") else MeanPool()), {}


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(our logits, the expected ones) of a case."""
    case = json.loads(settings.read_text())
    expected = dict(np.load(settings.with_suffix(".npz")))
    labels, classes = expected.pop("support_labels"), expected.pop("support_class")
    expected.pop("query_labels")
    order = np.argsort(labels, kind="stable")
    support = features(case, "support", classes)[order]
    support = support.reshape(case["way"], case["shot"], *support.shape[1:])
    query = features(case, "query", expected.pop("query_class"))
    head, params = method(case, settings.stem)
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    params, support, query = jax.tree.map(
        lambda x: jnp.asarray(x, precise), (params, support, query)
    )
    prompts = jnp.zeros((case["way"], case["dim"]), precise)  # these methods look at no text
    inputs = {"frames": support}, {"frames": query}, prompts
    return {"logits": jax.jit(head.apply)({"params": params}, *inputs).logits}, expected
