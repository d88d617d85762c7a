"""Runs both towers of a small CLIP on a parity case."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import from_huggingface
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.weights import huggingface, openai
from mdmf_jax.weights.table import to_params


def run(settings: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(our features and logits, the expected ones) of a case.

    No attention mask is used where the case has one: a causal tower does not need it.
    """
    case = json.loads(settings.read_text())
    with np.load(settings.with_suffix(".npz")) as arrays:
        expected = dict(arrays)
    tokens = expected.pop("tokens")
    expected.pop("attention_mask", None)
    weights = state_dict(case["params"], seed=case["seed"])
    if case["layout"] == "openai":
        config, params = openai.load_state_dict(weights)
    else:
        config = from_huggingface(case["config"])
        shapes = huggingface.template(config)
        params = to_params(weights, huggingface.RULES, shapes, origin=settings.stem)
    images = tensor("images", case["image_shape"], seed=case["seed"]).transpose(0, 2, 3, 1)
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    params, images = jax.tree.map(lambda x: jnp.asarray(x, precise), (params, images))
    model = CLIP(config, precise)

    @jax.jit
    def both_towers(params):
        variables = {"params": params}
        return {
            "image_features": model.apply(variables, images, method="encode_image"),
            "text_features": model.apply(variables, tokens, method="encode_text"),
            "logits_per_image": model.apply(variables, images, tokens),
        }

    return jax.tree.map(np.asarray, both_towers(params)), expected
