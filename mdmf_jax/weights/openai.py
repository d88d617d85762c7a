"""OpenAI's CLIP state dictionaries (ViT and ResNet) -> this package's parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, VisionConfig
from mdmf_jax.weights import openai_resnet
from mdmf_jax.weights.huggingface import template
from mdmf_jax.weights.layers import conv_rules, dense_rules, norm_rules
from mdmf_jax.weights.openai_sizes import config_from_state_dict
from mdmf_jax.weights.table import Ignored, Rule, keep, rule, split, to_params


def _blocks(prefix: str, tower: str) -> list[Rule]:
    source, target = f"{prefix}transformer.resblocks.*", f"{tower}/encoder/layers/*"
    attention = [f"{target}/self_attn/{name}_proj" for name in "qkv"]
    return [
        *norm_rules(f"{source}.ln_1", f"{target}/layer_norm1"),
        *norm_rules(f"{source}.ln_2", f"{target}/layer_norm2"),
        rule(f"{source}.attn.in_proj_weight", _leaves(attention, "kernel"), split(2, 3)),
        rule(f"{source}.attn.in_proj_bias", _leaves(attention, "bias"), split(1, 3)),
        *dense_rules(f"{source}.attn.out_proj", f"{target}/self_attn/out_proj"),
        *dense_rules(f"{source}.mlp.c_fc", f"{target}/mlp/fc1"),
        *dense_rules(f"{source}.mlp.c_proj", f"{target}/mlp/fc2"),
    ]


def _leaves(paths: list[str], leaf: str) -> tuple[str, ...]:
    return tuple(f"{path}/{leaf}" for path in paths)


_VISION, _TEXT = "vision_model/embeddings", "text_model/embeddings"

_TEXT_RULES: tuple[Rule, ...] = (
    rule("logit_scale", "logit_scale", keep(0)),
    rule("text_projection", "text_projection/kernel", keep(2)),
    rule("positional_embedding", f"{_TEXT}/position_embedding/embedding", keep(2)),
    rule("token_embedding.weight", f"{_TEXT}/token_embedding/embedding", keep(2)),
    *norm_rules("ln_final", "text_model/final_layer_norm"),
    *_blocks("", "text_model"),
)

VIT_RULES: tuple[Rule, ...] = (
    rule("visual.proj", "visual_projection/kernel", keep(2)),
    rule("visual.class_embedding", f"{_VISION}/class_embedding", keep(1)),
    *conv_rules("visual.conv1", f"{_VISION}/patch_embedding"),
    rule("visual.positional_embedding", f"{_VISION}/position_embedding/embedding", keep(2)),
    *norm_rules("visual.ln_pre", "vision_model/pre_layrnorm"),
    *norm_rules("visual.ln_post", "vision_model/post_layernorm"),
    *_blocks("visual.", "vision_model"),
    *_TEXT_RULES,
)

RESNET_RULES: tuple[Rule, ...] = (*openai_resnet.RULES, *_TEXT_RULES)

_COUNTER = "num_batches_tracked"

IGNORED = (
    *(
        Ignored(name, "a whole number that the shapes say as well")
        for name in ("input_resolution", "context_length", "vocab_size")
    ),
    *(
        Ignored(f"visual.{norm}.{_COUNTER}", "counts training steps; old files do not have it")
        for norm in ("bn*", "layer*.*.bn*", "layer*.*.downsample.1")
    ),
)


def rules(vision: VisionConfig | ResNetConfig) -> tuple[Rule, ...]:
    """The table for a CLIP with this image tower."""
    return RESNET_RULES if isinstance(vision, ResNetConfig) else VIT_RULES


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    config: CLIPConfig | None = None,
    *,
    origin: str = "state dictionary",
) -> tuple[CLIPConfig, dict[str, Any]]:
    """(config, float32 params of `CLIP(config)`) from an OpenAI CLIP's state dictionary.

    The config keeps the image size of the checkpoint; see `interpolate_positions`.

    Args:
      tensors: name -> array, as in the published archives (half precision is fine).
      config: the sizes; None reads them off the shapes.
      origin: file named in errors.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    if config is None:
        config = config_from_state_dict(tensors, origin=origin)
    params = to_params(
        tensors, rules(config.vision), template(config), ignored=IGNORED, origin=origin
    )
    return config, params
