"""Task-Adapter++'s scores: videos against class means and against ordered sub-action texts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import norm

SMALLEST = 1e-12  # lower bound of the norms


def directions(x: Float[AnyArray, "*batch D"], half: bool = False) -> Float[Array, "*batch D"]:
    """Vectors divided by their norm, or by `SMALLEST` if that is larger.

    With `half` they are rounded to half precision before and after.
    """
    x = jnp.asarray(x)
    if half:
        x = x.astype(jnp.float16).astype(x.dtype)
    x = x / jnp.maximum(norm(x), SMALLEST)[..., None]
    return x.astype(jnp.float16).astype(x.dtype) if half else x


def cosines(
    x: Float[AnyArray, "*#batch N D"], y: Float[AnyArray, "*#batch M D"], half: bool = False
) -> Float[Array, "*#batch N M"]:
    """Cosine of every vector of `x` with every one of `y`; with `half` in half precision."""
    found = jnp.einsum("...nd,...md->...nm", directions(x, half), directions(y, half))
    return found.astype(jnp.float16).astype(found.dtype) if half else found


def crossed_frames(
    queries: Float[AnyArray, "Q T D"], together: bool = False
) -> Float[Array, "T-1 Q D"]:
    """What the f-th frame of each query takes from the frames f + 1, f = 0..T-2.

    softmax(Z_f Z_{f+1}' / sqrt(D)) Z_{f+1}, where the rows of Z_f are the f-th frames of all
    queries, if they are `together`; otherwise of one, of which the (f + 1)-th frame is left.
    """
    frames = jnp.swapaxes(jnp.asarray(queries), 0, 1)  # [T, Q, D]
    now, after = frames[:-1], frames[1:]
    if not together:
        return after
    scores = jnp.einsum("fqd,fpd->fqp", now, after) / queries.shape[-1] ** 0.5
    return jax.nn.softmax(scores, axis=-1) @ after


def windows(steps: int, texts: int) -> list[slice]:
    """Equal parts of `steps` steps, in order, one for each text; neighbours share one step.

    7 steps and 3 texts: 0..2, 2..4, 4..6, as published.
    """
    bounds = [number * (steps - 1) // texts for number in range(texts + 1)]
    return [slice(first, last + 1) for first, last in zip(bounds, bounds[1:], strict=False)]


def sub_action_scores(
    crossed: Float[AnyArray, "F Q D"],
    texts: Float[AnyArray, "W M D"],
    there: Bool[AnyArray, "W M"],
    half: bool = False,
) -> Float[Array, "Q W"]:
    """Mean cosine of the M texts of a class with the steps of their windows.

    Args:
      there: which texts there are; the others are left out.
    """
    found = cosines(jnp.swapaxes(crossed, 0, 1)[:, None], texts[None], half)  # [Q, W, F, M]
    parts = [found[:, :, part, m] for m, part in enumerate(windows(*found.shape[2:]))]
    means = jnp.stack([part.mean(-1) for part in parts], axis=-1)  # [Q, W, M]
    return (means * there).sum(-1) / jnp.maximum(there.sum(-1), 1)
