"""OpenAI's CLIP (ViT) state dictionary -> this package's parameters."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.weights.huggingface import template
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.table import Ignored, Rule, keep, rule, split, to_params, transpose

HEAD_SIZE = 64  # of every published OpenAI CLIP, in both towers


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

RULES: tuple[Rule, ...] = (
    rule("logit_scale", "logit_scale", keep(0)),
    rule("visual.proj", "visual_projection/kernel", keep(2)),
    rule("text_projection", "text_projection/kernel", keep(2)),
    rule("visual.class_embedding", f"{_VISION}/class_embedding", keep(1)),
    rule("visual.conv1.weight", f"{_VISION}/patch_embedding/kernel", transpose(2, 3, 1, 0)),
    rule("visual.positional_embedding", f"{_VISION}/position_embedding/embedding", keep(2)),
    rule("positional_embedding", f"{_TEXT}/position_embedding/embedding", keep(2)),
    rule("token_embedding.weight", f"{_TEXT}/token_embedding/embedding", keep(2)),
    *norm_rules("visual.ln_pre", "vision_model/pre_layrnorm"),
    *norm_rules("visual.ln_post", "vision_model/post_layernorm"),
    *norm_rules("ln_final", "text_model/final_layer_norm"),
    *_blocks("visual.", "vision_model"),
    *_blocks("", "text_model"),
)

IGNORED = tuple(
    Ignored(name, "a whole number that the shapes say as well")
    for name in ("input_resolution", "context_length", "vocab_size")
)


def config_from_state_dict(tensors: Mapping[str, np.ndarray], *, origin: str) -> CLIPConfig:
    """Sizes of an OpenAI CLIP, read off the shapes of its tensors as OpenAI's code does.

    Raises:
        WeightsError: a tensor that tells a size is missing, or the image tower is no ViT.
    """
    if "visual.layer1.0.conv1.weight" in tensors:
        raise WeightsError(f"{origin}: the image tower is a ResNet; only ViT can be read")

    def shape(name: str, ndim: int) -> tuple[int, ...]:
        if name not in tensors or tensors[name].ndim != ndim:
            raise WeightsError(f"{origin}: no tensor {name} with {ndim} axes: not an OpenAI CLIP")
        return tensors[name].shape

    width, _, patch, _ = shape("visual.conv1.weight", 4)
    grid = round((shape("visual.positional_embedding", 2)[0] - 1) ** 0.5)
    length, text_width = shape("positional_embedding", 2)
    vocab_size, _ = shape("token_embedding.weight", 2)
    vision = VisionConfig(**_tower(tensors, "visual.", width), image_size=grid * patch,
                          patch_size=patch)  # fmt: skip
    text = TextConfig(
        **_tower(tensors, "", text_width),
        vocab_size=vocab_size,
        max_position_embeddings=length,
        eos_token_id=vocab_size - 1,
    )
    return CLIPConfig(vision, text, projection_dim=shape("text_projection", 2)[1])


def load_state_dict(
    tensors: Mapping[str, np.ndarray], *, origin: str = "state dictionary"
) -> tuple[CLIPConfig, dict[str, Any]]:
    """(config, float32 params of `CLIP(config)`) from an OpenAI ViT state dictionary.

    Args:
        tensors: name -> array, as in the published archives (half precision is fine).
        origin: file named in errors.

    Raises:
        WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    config = config_from_state_dict(tensors, origin=origin)
    params = to_params(tensors, RULES, template(config), ignored=IGNORED, origin=origin)
    return config, params


def _tower(tensors: Mapping[str, np.ndarray], prefix: str, width: int) -> dict[str, int]:
    pattern = re.compile(re.escape(f"{prefix}transformer.resblocks.") + r"(\d+)\.")
    layers = {found[1] for name in tensors if (found := pattern.match(name))}
    return dict(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // HEAD_SIZE),
    )
