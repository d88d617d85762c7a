"""What the cases of methods with prompts have in common: videos, texts, order, gradients."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.models.encoders.prompts import PROMPTS_16
from mdmf_jax.weights import openai

_TEXT = ("positional_embedding", "text_projection", "transformer.", "token_embedding.", "ln_final.")


def read(path: Path) -> Any:
    """Content of a JSON file."""
    return json.loads(path.read_text())


def weights(settings: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    """All tensors of a case by name."""
    return state_dict(read(settings.parent / content["params"]), seed=content["seed"])


def own_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the method's state dictionary, without the text tower."""
    return {name: x for name, x in tensors.items() if not name.startswith(_TEXT)}


def whole_clip(
    tensors: dict[str, np.ndarray], tower: str, origin: str
) -> tuple[CLIPConfig, dict[str, Any]]:
    """Sizes and parameters of the CLIP that a case's tensors make, with a prefix of the tower."""
    named = {name: x for name, x in tensors.items() if name.startswith(_TEXT)}
    named |= {
        f"visual.{name.removeprefix(tower)}": x
        for name, x in tensors.items()
        if name.startswith(tower)
    }
    named["logit_scale"] = np.zeros((), np.float32)
    return openai.load_state_dict(named, origin=origin)


def videos(ids: np.ndarray, name: str, content: dict[str, Any]) -> np.ndarray:
    """Pixels [N, T, S, S, 3] of videos of the real classes `ids`."""
    count, *image = content["input_shapes"][name]  # frames of all videos
    shape, seed = (count // len(ids), *image), content["seed"]
    noise = tensor(name, (len(ids), *shape), std=content["pixel_noise"], seed=seed)
    colour, std = (*shape[:2], 1, 1), content["pixel_colour_std"]
    clips = np.stack([tensor(f"class_frames.{real}", shape, seed=seed) for real in ids])
    tints = np.stack([tensor(f"class_colour.{real}", colour, std=std, seed=seed) for real in ids])
    return (clips + noise + tints).transpose(0, 1, 3, 4, 2)


def tokens(names: list[str], prompts: tuple[str, ...] = PROMPTS_16) -> np.ndarray:
    """Token ids [prompts, classes, 77] of class names in the method's prompts."""
    tokenizer = Tokenizer.openai()
    return np.stack([tokenizer([p.replace("{}", n) for n in names], 77) for p in prompts])


def text_features(clip: CLIPConfig, params: Any, ids: np.ndarray) -> jax.Array:
    """Text features [prompts, classes, D] of token ids, not normalised, in float64 if enabled."""
    leaves = {name: params[name] for name in ("text_model", "text_projection")}
    precise = jnp.result_type(float)
    leaves = jax.tree.map(lambda x: jnp.asarray(x, precise), leaves)
    flat = jax.jit(CLIPText(clip, precise).apply)(
        {"params": leaves}, ids.reshape(-1, ids.shape[-1])
    )
    return flat.reshape(*ids.shape[:2], -1)


def gradients(
    tensors: dict[str, np.ndarray], content: dict[str, Any], expected: dict[str, Any], kind: str
) -> dict[str, Any]:
    """Norms of gradients under the published names; those of the case go into `expected`.

    Args:
      tensors: gradients by published name.
      kind: key of the case's norms.
    """
    ours = {}
    for name, norm in content[kind].items():
        if norm is not None:
            expected[f"{kind}/{name}"] = np.asarray(norm)
            ours[f"{kind}/{name}"] = np.linalg.norm(np.asarray(tensors[name], np.float64))
    return ours
