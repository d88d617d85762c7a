"""State dictionaries of the published CLIP-FSAR code -> this package's parameters, and back.

The published model is one module `head` with the image tower, one fusion transformer
(`context2`) and the factor of its classification loss (`scale`).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.layers.fusion import MultiModalFusion
from mdmf_jax.weights import reference
from mdmf_jax.weights.table import Ignored, Rule, to_params, to_tensors

PREFIX = "head."

# What CLIP-FSAR shares with CLIP-MDMF, by its name there: the parameters of either.
_SHARED = {
    "backbone.": ("encoder/", "encoder/"),
    "context2.": ("head/local_fusion/", "head/fusion/"),
    "scale": ("head/scale", "head/scale"),
}


def _rules(shared: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The table of CLIP-FSAR from that of CLIP-MDMF."""
    found = []
    for entry in shared:
        for source, (theirs, ours) in _SHARED.items():
            if entry.source.startswith(source):
                targets = tuple(ours + target.removeprefix(theirs) for target in entry.targets)
                found.append(Rule(PREFIX + entry.source, targets, entry.transform))
    return tuple(found)


VIT_RULES = _rules(reference.VIT_RULES)
RESNET_RULES = _rules(reference.RESNET_RULES)

IGNORED = tuple(
    Ignored(PREFIX + entry.source, entry.reason)
    for entry in reference.IGNORED
    if entry.source.startswith("backbone.")
)


def template(clip: CLIPConfig, fusion: MultiModalFusion) -> dict[str, Any]:
    """Parameter tree {"encoder", "head": {"fusion", "scale"}} as shapes; allocates nothing."""
    side, features = clip.vision.image_size, clip.projection_dim
    key, text = jax.random.key(0), jax.ShapeDtypeStruct((1, features), jnp.float32)
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    frames = jax.ShapeDtypeStruct((1, 8, features), jnp.float32)

    def init(text: jax.Array, frames: jax.Array) -> Any:
        return fusion.init(key, text, frames, frames, train=False)

    head = {
        "fusion": jax.eval_shape(init, text, frames)["params"],
        "scale": jax.ShapeDtypeStruct((1,), jnp.float32),
    }
    encoder = jax.eval_shape(CLIPVision(clip).init, key, pixels)["params"]
    return {"encoder": encoder, "head": head}


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    fusion: MultiModalFusion | None = None,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head": {"fusion", "scale"}} from a CLIP-FSAR state dictionary.

    The prefix `module.` of parallel training, before everything, is dropped.

    Args:
      tensors: name -> array; `read_state_dict` takes them out of a published checkpoint.
      clip: sizes of the CLIP that it was trained from.
      fusion: sizes of the fusion transformer; None takes the published ones.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    rules = RESNET_RULES if isinstance(clip.vision, ResNetConfig) else VIT_RULES
    shapes = template(clip, fusion or MultiModalFusion())
    return to_params(named, rules, shapes, ignored=IGNORED, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code (without BatchNorm's `num_batches_tracked`).

    Raises:
      WeightsError: a parameter has no place in it.
    """
    resnet = "attnpool" in params["encoder"]["vision_model"]
    return to_tensors(params, RESNET_RULES if resnet else VIT_RULES)
