"""Attention of CLIP's towers, by XLA or by cuDNN."""

from functools import cache
from typing import Literal, cast

import jax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "xla", "cudnn")

_HALF = (jnp.bfloat16, jnp.float16)


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    causal: bool = False,
    there: jax.Array | None = None,
    implementation: str = "auto",
) -> jax.Array:
    """softmax(query key / sqrt(H)) value for each head. [N, L, heads, H] each, and the result.

    Logits and softmax are float32 whatever the inputs are. `causal` forbids a look at later
    tokens.

    Args:
      there: which keys may be looked at [N, L], at least one in each row; all by default.
      implementation: "xla", "cudnn", or "auto": cuDNN where it works, XLA elsewhere. cuDNN
        takes half-precision inputs on recent CUDA devices only.
    """
    if implementation == "auto":
        implementation = "cudnn" if _suits_cudnn(query) and cudnn_works() else "xla"
    chosen = cast(Literal["xla", "cudnn"], implementation)  # which JAX checks
    if query.dtype == jnp.float16 and chosen == "xla":  # whose CPU has no such products
        whole = (x.astype(jnp.float32) for x in (query, key, value))
        return attention(*whole, causal=causal, there=there, implementation=chosen).astype(
            query.dtype
        )
    mask = None if there is None else there[:, None, None]  # [N, heads, L, keys]
    return jax.nn.dot_product_attention(
        query, key, value, mask=mask, is_causal=causal, implementation=chosen
    )


def _suits_cudnn(query: jax.Array) -> bool:
    size = query.shape[-1]
    return query.dtype in _HALF and size % 8 == 0 and size <= 128


@cache
def cudnn_works() -> bool:
    """Whether the default device computes an attention with cuDNN, found out by trying."""
    if jax.default_backend() != "gpu":
        return False
    with jax.ensure_compile_time_eval():
        x = jnp.zeros((1, 8, 1, 64), jnp.bfloat16)
        try:
            jax.block_until_ready(jax.nn.dot_product_attention(x, x, x, implementation="cudnn"))
        except (RuntimeError, ValueError, NotImplementedError):
            return False
    return True
