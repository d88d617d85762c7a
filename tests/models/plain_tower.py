"""Transformer blocks of CLIP in NumPy and float64, for comparison. Tokens are [..., L, D]."""

import jax
import numpy as np


def exact(tree):
    """The same parameters in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def random_like(shapes, seed=0):
    """All leaves random, so that no scale is 1 and no bias 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(0.1, 0.3, x.shape).astype(np.float32), shapes)


def same(x, *_):
    return x


def nothing(*_):
    return 0.0


def layer_norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation * p["scale"] + p["bias"]


def attend(p, x, heads, causal=False, beside=nothing):
    def dense(name, y):
        return y @ p[name]["kernel"] + p[name]["bias"] + beside(name, y)

    mixed = []
    split = [np.split(dense(f"{letter}_proj", x), heads, axis=-1) for letter in "qkv"]
    for query, key, value in zip(*split, strict=True):
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        if causal:
            scores = np.where(np.tri(x.shape[-2], dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed.append(weights / weights.sum(-1, keepdims=True) @ value)
    return dense("out_proj", np.concatenate(mixed, axis=-1))


def mlp(p, x, beside=nothing):
    """With quick GELU."""
    hidden = x @ p["fc1"]["kernel"] + p["fc1"]["bias"] + beside("fc1", x)
    hidden = hidden / (1 + np.exp(-1.702 * hidden))
    return hidden @ p["fc2"]["kernel"] + p["fc2"]["bias"] + beside("fc2", hidden)


def block(
    p,
    x,
    heads,
    *,
    causal=False,
    before_attention=same,
    after_attention=same,
    beside_mlp=nothing,
    after_block=same,
    beside_projection=nothing,
):
    """One block with what an adapter does in it."""
    x = before_attention(x)
    attended = attend(p["self_attn"], layer_norm(p["layer_norm1"], x), heads, causal,
                      beside_projection)  # fmt: skip
    x = x + after_attention(attended)
    normed = layer_norm(p["layer_norm2"], x)
    x = x + mlp(p["mlp"], normed, beside_projection) + beside_mlp(normed)
    return after_block(x)


def error(ours, expected) -> float:
    """Largest difference, as a share of the largest value; infinite where shapes differ."""
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    if ours.shape != expected.shape:
        return np.inf
    return float(np.abs(ours - expected).max() / np.abs(expected).max())
