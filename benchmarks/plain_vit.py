"""CLIP's ViT forward, written by hand in plain JAX: what `compare_vit.py` compares with.

No modules, no library of layers and no attention function: einsum, softmax and the formulas of
Dosovitskiy et al. (2021) and Radford et al. (2021). Used nowhere else.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp


def image_features(
    params: Mapping[str, Any], pixels: jax.Array, *, patch: int, heads: int, epsilon: float = 1e-5
) -> jax.Array:
    """Features of normalised images, quick GELU. [N, S, S, 3] -> [N, D].

    Args:
      params: tree of an image tower, as `CLIPVision` has it.
      patch: side of a patch in pixels.
    """
    vision = params["vision_model"]
    x = _embed(vision["embeddings"], pixels, patch)  # [N, L, H]
    x = _layer_norm(vision["pre_layrnorm"], x, epsilon)
    blocks = vision["encoder"]["layers"]
    for index in range(len(blocks)):
        block = blocks[str(index)]
        x = x + _attention(block["self_attn"], _layer_norm(block["layer_norm1"], x, epsilon), heads)
        hidden = _dense(block["mlp"]["fc1"], _layer_norm(block["layer_norm2"], x, epsilon))
        x = x + _dense(block["mlp"]["fc2"], hidden * jax.nn.sigmoid(1.702 * hidden))
    pooled = _layer_norm(vision["post_layernorm"], x[:, 0], epsilon)
    return pooled @ params["visual_projection"]["kernel"]


def _embed(params: Mapping[str, Any], pixels: jax.Array, patch: int) -> jax.Array:
    kernel = params["patch_embedding"]["kernel"]
    patches = jax.lax.conv_general_dilated(
        pixels, kernel, (patch, patch), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    patches = patches.reshape(patches.shape[0], -1, patches.shape[-1])
    token = jnp.tile(params["class_embedding"][None, None], (patches.shape[0], 1, 1))
    tokens = jnp.concatenate([token, patches], axis=1)
    return tokens + params["position_embedding"]["embedding"][None]


def _layer_norm(params: Mapping[str, Any], x: jax.Array, epsilon: float) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / jnp.sqrt(variance + epsilon) * params["scale"] + params["bias"]


def _dense(params: Mapping[str, Any], x: jax.Array) -> jax.Array:
    return x @ params["kernel"] + params["bias"]


def _attention(params: Mapping[str, Any], x: jax.Array, heads: int) -> jax.Array:
    count, length, size = x.shape
    split = (count, length, heads, size // heads)
    query, key, value = (
        _dense(params[n], x).reshape(split) for n in ("q_proj", "k_proj", "v_proj")
    )
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) / (size // heads) ** 0.5
    mixed = jnp.einsum("nhqk,nkhd->nqhd", jax.nn.softmax(scores, axis=-1), value)
    return _dense(params["out_proj"], mixed.reshape(x.shape))
