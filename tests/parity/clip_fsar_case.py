"""Runs CLIP-FSAR's head on a parity case, from frame features."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.methods.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.weights import clip_fsar
from mdmf_jax.weights.table import to_params

TABLE_ROWS = {"train": 9, "test": 7}


def method_config(options: dict[str, Any]) -> CLIPFSARConfig:
    """Our options from the published flags; a text coefficient of 0 stands for the default."""
    known = {"COMBINE", "EVAL_TEXT", "MERGE_BEFORE", "SINGLE_DIRECT", "TEXT_COFF"}
    if unknown := options.keys() - known:
        raise ValueError(f"unknown options {sorted(unknown)}")
    at_test = "combined" if options.get("COMBINE") else "plain"
    return CLIPFSARConfig(
        bidirectional=not options.get("SINGLE_DIRECT", False),
        merge_before=options.get("MERGE_BEFORE", False),
        at_test="text" if options.get("EVAL_TEXT") else at_test,
        text_coefficient=options.get("TEXT_COFF") or CLIPFSARConfig.text_coefficient,
        attention_dropout=0.0,
        ffn_dropout=0.0,
    )


def features(case: dict[str, Any], name: str, classes: np.ndarray) -> np.ndarray:
    """Frame features [N, T, D] of the videos of `classes`."""
    size, seed = (case["frames"], case["dim"]), case["seed"]
    centres = tensor("class_features", (case["num_classes"], *size), seed=seed)
    noise = tensor(f"{name}_noise", (len(classes), *size), seed=seed)
    return centres[classes] + 0.8 * noise


def text_table(case: dict[str, Any], part: str) -> np.ndarray:
    shape = (TABLE_ROWS[part], case["dim"])
    return tensor(f"text_features_{part}", shape, seed=case["seed"])


def head_params(case: dict[str, Any], method: CLIPFSARConfig, origin: str) -> dict[str, Any]:
    """The head's parameters, by the rules that convert whole checkpoints."""
    weights = {
        clip_fsar.PREFIX + name: array
        for name, array in state_dict(case["params"], seed=case["seed"]).items()
    }
    rules = tuple(r for r in clip_fsar.VIT_RULES if not r.source.startswith("head.backbone."))
    support = jnp.zeros((case["way"], 1, case["frames"], case["dim"]))
    inputs = {"frames": support}, {"frames": support[:, 0]}, support[:, 0, 0]
    shapes = jax.eval_shape(CLIPFSAR(method).init, jax.random.key(0), *inputs)
    return to_params(weights, rules, {"head": shapes["params"]}, origin=origin)["head"]


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): logits, and class logits in the case's order of videos."""
    case = json.loads(settings.read_text())
    expected = dict(np.load(settings.with_suffix(".npz")))
    labels, classes = expected.pop("support_labels"), expected.pop("support_class")
    expected.pop("query_labels")
    order = np.argsort(labels, kind="stable")
    support = features(case, "support", classes)[order]
    query = features(case, "query", expected.pop("query_class"))
    own = text_table(case, case["mode"].replace("eval", "test"))
    prompts = own[classes[order].reshape(case["way"], -1)[:, 0]]
    # Also in tests, the published code compares with the names of the training classes.
    table, method = text_table(case, "train"), method_config(case["options"])
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    params, support, query, prompts, table = jax.tree.map(
        lambda x: jnp.asarray(x, precise),
        (head_params(case, method, settings.name), support, query, prompts, table),
    )

    @jax.jit
    def forward(params, support, query, prompts, table):
        train = case["mode"] == "train"  # the dropout rates are 0
        rngs = {"dropout": jax.random.key(0)}
        return CLIPFSAR(method).apply(
            {"params": params},
            {"frames": support},
            {"frames": query},
            prompts,
            class_texts=table,
            train=train,
            rngs=rngs,
        )

    support = support.reshape(case["way"], case["shot"], *support.shape[1:])
    output = forward(params, support, query, prompts, table)
    class_logits = output.diagnostics["class_logits"]
    back = np.argsort(order)
    items = np.concatenate([back, np.arange(len(back), len(class_logits))])
    return {"logits": output.logits, "class_logits": class_logits[items]}, expected
