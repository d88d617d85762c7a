"""Motion of a video against its smoothed frames, as CLIP-SPM computes it (arXiv 2512.19036)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mdmf_jax.ops.arrays import AnyArray


def motion_vector(
    frames: Float[AnyArray, "*batch T D"], smoothed: Float[AnyArray, "*batch T D"]
) -> Float[Array, "*batch D"]:
    """Mean over time of the differences to the next and to the previous smoothed frame.

    Forward smoothed[t + 1] - frames[t], backward smoothed[t] - frames[t + 1], half of each.
    """
    forward = smoothed[..., 1:, :] - frames[..., :-1, :]
    backward = smoothed[..., :-1, :] - frames[..., 1:, :]
    return (forward + backward).mean(axis=-2) / 2


def squared_distance(
    x: Float[AnyArray, "N *rest"], y: Float[AnyArray, "N *rest"]
) -> Float[Array, ""]:
    """Squared Euclidean distance of each item to its counterpart, the mean over the N items."""
    return jnp.square(x - y).sum() / x.shape[0]
