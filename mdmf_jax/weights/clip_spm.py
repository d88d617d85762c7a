"""State dictionaries of the published CLIP-SPM code -> this package's parameters, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.clip_spm import CLIPSPM, CLIPSPMConfig
from mdmf_jax.weights import openai
from mdmf_jax.weights.layers import dense_rules
from mdmf_jax.weights.reference import CONV_1D, IGNORED, fusion_rules, image_tower_rules
from mdmf_jax.weights.table import Rule, keep, rule, to_params, to_tensors


def _conv(number: int) -> list[Rule]:
    source, target = f"motion_conv{number}", f"head/smoothing/conv{number}"
    return [
        rule(f"{source}.weight", f"{target}/kernel", CONV_1D),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def _two_layers(source: str, second: int, target: str) -> list[Rule]:
    """Two linear layers, the 0th and the `second` of a sequence."""
    return [
        *dense_rules(f"{source}.0", f"{target}/fc1"),
        *dense_rules(f"{source}.{second}", f"{target}/fc2"),
    ]


_HEAD: tuple[Rule, ...] = (
    rule("scale", "head/scale", keep(1)),
    rule("mo_alpha1", "head/motion_scale", keep(0)),
    *_conv(1),
    *_conv(2),
    *_two_layers("token_tr.mlp.net", 3, "head/prompt"),
    *_two_layers("gate_text", 2, "head/text_gate"),
    *_two_layers("gate_vision", 2, "head/vision_gate"),
    *fusion_rules("context1", "head/mixing"),
    *fusion_rules("context2", "head/fusion"),
)

VIT_RULES: tuple[Rule, ...] = (*_HEAD, *image_tower_rules(openai.VIT_RULES))
RESNET_RULES: tuple[Rule, ...] = (*_HEAD, *image_tower_rules(openai.RESNET_RULES))

_TOWER_IGNORED = tuple(entry for entry in IGNORED if entry.source.startswith("backbone."))


def template(clip: CLIPConfig, method: CLIPSPMConfig) -> dict[str, Any]:
    """Parameter tree {"encoder", "head"} as shapes; allocates nothing."""
    side, features = clip.vision.image_size, clip.projection_dim
    key, pixels = jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    support, query, texts = (
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((1, 1, 8, features), (1, 8, features), (1, features))
    )
    episode = {"frames": support}, {"frames": query}, texts
    encoder = jax.eval_shape(CLIPVision(clip).init, key, pixels)["params"]
    return {
        "encoder": encoder,
        "head": jax.eval_shape(CLIPSPM(method).init, key, *episode)["params"],
    }


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    encoder_options: Any = None,
    method: CLIPSPMConfig | None = None,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a CLIP-SPM state dictionary.

    Args:
      tensors: name -> array, what `model_state_dict` of a published checkpoint holds.
      clip: sizes of the CLIP that it was trained from.
      encoder_options: not needed, the tower is a plain CLIP.
      method: its options; the widths of the gates must be those of the file.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    rules = RESNET_RULES if isinstance(clip.vision, ResNetConfig) else VIT_RULES
    shapes = template(clip, method or CLIPSPMConfig())
    return to_params(named, rules, shapes, ignored=_TOWER_IGNORED, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code (without BatchNorm's `num_batches_tracked`).

    Raises:
      WeightsError: a parameter has no place in it.
    """
    resnet = "attnpool" in params["encoder"]["vision_model"]
    return to_tensors(params, RESNET_RULES if resnet else VIT_RULES)
