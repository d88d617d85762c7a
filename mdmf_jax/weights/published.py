"""The few-shot methods whose published checkpoints can be read, by the names of the methods."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.layers.fusion import MultiModalFusion
from mdmf_jax.weights import clip_fsar, reference
from mdmf_jax.weights.openai_sizes import vision_from_state_dict

Tensors = Mapping[str, np.ndarray]

# What shapes do not tell about an image tower.
_UNTOLD = {"hidden_act", "layer_norm_eps", "num_attention_heads", "heads"}
_FIRST_LAYER = re.compile(r"(^|\.)context2\.layers\.\d+\.1\.net\.0\.weight$")


class Published(NamedTuple):
    """How the checkpoints of a method are converted.

    Attributes:
      title: name of the method in its paper.
      marks: tensors by which its checkpoints are recognised.
      template: (clip, options) -> parameter tree {"encoder", "head"} as shapes.
      load: (tensors, clip, options, origin) -> parameters.
      state_dict: parameters -> tensors under the published names.
    """

    title: str
    marks: tuple[str, ...]
    template: Callable[[CLIPConfig, Any], dict[str, Any]]
    load: Callable[[Tensors, CLIPConfig, Any, str], dict[str, Any]]
    state_dict: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]


def _fusion(options: Any) -> MultiModalFusion:
    return MultiModalFusion(depth=options.depth, heads=options.heads, hidden=options.hidden)


PUBLISHED: dict[str, Published] = {
    "mdmf": Published(
        "CLIP-MDMF",
        ("scale", "context_conv1.weight", "tcn.network.0.conv1.weight_v"),
        reference.template,
        lambda tensors, clip, options, origin: reference.load_state_dict(
            tensors, clip, options, origin=origin
        ),
        reference.state_dict,
    ),
    "clip_fsar": Published(
        "CLIP-FSAR",
        ("head.scale", "head.context2.layers.0.0.norm.weight"),
        lambda clip, options: clip_fsar.template(clip, _fusion(options)),
        lambda tensors, clip, options, origin: clip_fsar.load_state_dict(
            tensors, clip, _fusion(options), origin=origin
        ),
        clip_fsar.state_dict,
    ),
}


def fusion_sizes(tensors: Tensors) -> dict[str, int]:
    """The sizes of a method's fusion transformer, as far as the shapes tell: depth, hidden."""
    layers = [name for name in tensors if _FIRST_LAYER.search(name)]
    shapes = [tensors[name].shape for name in layers]
    if not shapes or len(shapes[0]) != 2:
        return {}
    return {"depth": len(layers), "hidden": shapes[0][0]}


def check_image_tower(tensors: Tensors, clip: CLIPConfig, *, origin: str, clip_path: str) -> None:
    """Checks that a method was trained from a CLIP with this image tower.

    Raises:
      WeightsError: the sizes differ, or the tensors do not tell them.
    """
    parts = ((name.rpartition("backbone.")[2], tensor) for name, tensor in tensors.items())
    tower = {name.removeprefix("module."): tensor for name, tensor in parts}
    vision, features = vision_from_state_dict(tower, "", origin=origin)
    theirs, ours = (
        {"features": size} | {k: v for k, v in asdict(sizes).items() if k not in _UNTOLD}
        for sizes, size in ((vision, features), (clip.vision, clip.projection_dim))
    )
    if theirs == ours:
        return
    if type(vision) is not type(clip.vision):
        reason = "one is a ResNet, the other a vision transformer"
    else:
        reason = ", ".join(f"{k} {theirs[k]} and {ours[k]}" for k in ours if theirs[k] != ours[k])
    raise WeightsError(
        f"{origin}: its image tower is not that of the CLIP in {clip_path} ({reason}); "
        "give the CLIP that it was trained from"
    )
