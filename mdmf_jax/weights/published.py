"""The few-shot methods whose published checkpoints can be read, by the names of the methods."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.layers.fusion import MultiModalFusion
from mdmf_jax.weights import (
    clip_fsar,
    clip_spm,
    d2st,
    emp_net,
    reference,
    task_adapter_pp,
    ts_fsar,
)
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
      load: (tensors, clip, encoder options, method options, origin=...) -> parameters
        {"encoder", "head"}; where the file holds the text tower, with it.
      state_dict: parameters -> tensors under the published names.
      method, encoder: names in METHODS and ENCODERS.
      settings: tensors -> settings that their shapes tell, by dotted name.
      backbone: its image tower is called "backbone", as CLIP's in OpenAI's files.
      texts: the file holds the text tower.
    """

    title: str
    marks: tuple[str, ...]
    load: Callable[..., dict[str, Any]]
    state_dict: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]
    method: str
    encoder: str = "clip"
    settings: Callable[[Tensors], dict[str, Any]] = lambda tensors: {}
    backbone: bool = False
    texts: bool = False


def _fusion(options: Any) -> MultiModalFusion:
    return MultiModalFusion(depth=options.depth, heads=options.heads, hidden=options.hidden)


def _load_mdmf(tensors, clip, encoder, options, *, origin):
    return reference.load_state_dict(tensors, clip, options, origin=origin)


def _load_clip_fsar(tensors, clip, encoder, options, *, origin):
    return clip_fsar.load_state_dict(tensors, clip, _fusion(options), origin=origin)


def _fusion_settings(method: str) -> Callable[[Tensors], dict[str, Any]]:
    return lambda tensors: {f"{method}.{k}": size for k, size in fusion_sizes(tensors).items()}


def _ts_fsar_settings(tensors: Tensors) -> dict[str, Any]:
    gated = any(name.startswith("model.side_gate_params.") for name in tensors)
    return {
        "encoder.side_width": tensors["model.up_linear.weight"].shape[-1],
        "encoder.gate": "learnable" if gated else "none",
    }


def _d2st_settings(tensors: Tensors) -> dict[str, Any]:
    classifier = "model.classification_layer.weight" in tensors
    return {} if classifier else {"d2st.class_weight": 0.0}


def _spm_settings(tensors: Tensors) -> dict[str, Any]:
    names = {"clip_spm.text_gate": "gate_text", "clip_spm.vision_gate": "gate_vision"}
    gates = {path: tensors[f"{name}.0.weight"].shape for path, name in names.items()}
    return {path: hidden / width for path, (hidden, width) in gates.items()}


def _load_d2st_resnet(tensors, sizes, encoder, options, *, origin):
    return d2st.load_resnet_state_dict(tensors, sizes, encoder, options, origin=origin)


PUBLISHED: dict[str, Published] = {
    "mdmf": Published(
        "CLIP-MDMF",
        ("scale", "context_conv1.weight", "tcn.network.0.conv1.weight_v"),
        _load_mdmf,
        reference.state_dict,
        "mdmf",
        settings=_fusion_settings("mdmf"),
        backbone=True,
    ),
    "clip_fsar": Published(
        "CLIP-FSAR",
        ("head.scale", "head.context2.layers.0.0.norm.weight"),
        _load_clip_fsar,
        clip_fsar.state_dict,
        "clip_fsar",
        settings=_fusion_settings("clip_fsar"),
        backbone=True,
    ),
    "ts_fsar": Published(
        "TS-FSAR",
        ("ts_dcm.generator.weight", "model.up_linear.weight"),
        ts_fsar.load_state_dict,
        ts_fsar.state_dict,
        "ts_fsar",
        "ts_fsar",
        settings=_ts_fsar_settings,
    ),
    "d2st": Published(
        "D2ST-Adapter",
        ("model.temporal_embedding", "model.ln_post.weight"),
        d2st.load_state_dict,
        d2st.state_dict,
        "d2st",
        "d2st",
        settings=_d2st_settings,
    ),
    "d2st_resnet": Published(
        "D2ST-Adapter (ResNet)",
        ("model.Adapter_1.down.weight", "model.stage1.0.weight"),
        _load_d2st_resnet,
        d2st.state_dict,
        "d2st",
        "d2st_resnet",
        settings=_d2st_settings,
    ),
    "task_adapter_pp": Published(
        "Task-Adapter++",
        ("text.transformer.resblocks.0.sub3_adapter.D_fc1.weight",),
        task_adapter_pp.load_state_dict,
        task_adapter_pp.state_dict,
        "task_adapter_pp",
        "task_adapter_pp",
        settings=lambda tensors: {"task_adapter_pp.cross_norm": "ca.ln_1.weight" in tensors},
        texts=True,
    ),
    "clip_spm": Published(
        "CLIP-SPM",
        ("mo_alpha1", "gate_text.0.weight", "gate_vision.0.weight"),
        clip_spm.load_state_dict,
        clip_spm.state_dict,
        "clip_spm",
        settings=_spm_settings,
        backbone=True,
    ),
    "emp_net": Published(
        "EMP-Net",
        ("head.spatialtemporal_reasion_1.layers.0.0.norm.weight",),
        emp_net.load_state_dict,
        emp_net.state_dict,
        "emp_net",
        "emp_net",
        backbone=True,
    ),
}


def published_form(method: str, encoder: str) -> Published | None:
    """How models of a method and an encoder are written in the published names; None if not."""
    found = PUBLISHED.values()
    return next((p for p in found if (p.method, p.encoder) == (method, encoder)), None)


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
