import math

import jax
import numpy as np

from mdmf_jax.models.layers.fusion import MultiModalFusion


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def numpy_norm(x, params):
    centred = x - x.mean(-1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * params["scale"]
        + (params["bias"])
    )


def numpy_attention(query, context, params, heads):
    normed_query, normed_context = (numpy_norm(x, params["norm"]) for x in (query, context))
    q = normed_query @ params["to_q"]["kernel"]
    k, v = (normed_context @ params[name]["kernel"] for name in ("to_k", "to_v"))
    size = query.shape[-1] // heads
    parts = []
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, columns] @ k[:, columns].T / math.sqrt(size))
        parts.append(scores / scores.sum(-1, keepdims=True) @ v[:, columns])
    merged = np.concatenate(parts, -1)
    return merged @ params["to_out"]["kernel"] + params["to_out"]["bias"] + query


def numpy_ffn(x, params):
    wide = x @ params["fc1"]["kernel"] + params["fc1"]["bias"]
    gelu = 0.5 * wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    return x + gelu @ params["fc2"]["kernel"] + params["fc2"]["bias"]


def test_fusion_of_two_layers():
    module = MultiModalFusion(depth=2, heads=2, hidden=12)
    text, context, frames = draw(3, 8), draw(3, 5, 8, seed=1), draw(3, 5, 8, seed=2)
    params = module.init(jax.random.key(0), text, context, frames, train=False)["params"]
    noise = iter(range(100, 1000))
    params = jax.tree.map(lambda x: x + 0.1 * draw(*x.shape, seed=next(noise)), params)
    ours = module.apply({"params": params}, text, context, frames, train=False)
    for video in range(3):
        x = np.concatenate([text[video, None], context[video]])
        attended = np.concatenate([text[video, None], frames[video]])
        for layer in range(2):
            x = numpy_attention(x, attended if layer == 0 else x, params[f"attention{layer}"], 2)
            x = numpy_ffn(x, params[f"ffn{layer}"])
        np.testing.assert_allclose(ours[video], x, rtol=1e-4, atol=1e-4)
