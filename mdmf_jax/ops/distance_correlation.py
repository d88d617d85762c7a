"""Distance correlation of the channels of a frame, and frames matched by it (TS-FSAR,
arXiv 2512.11340)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import norm, pairwise_cosine

_SMALLEST_NORM = 1e-8
_OFFSET = 1e-5  # added to the squared distances, under the power


def patch_weights(
    class_token: Float[AnyArray, "*batch D"], patches: Float[AnyArray, "*batch P D"]
) -> Float[Array, "*batch P"]:
    """Cosine of each patch with the class token of its frame, each norm at least 1e-8."""
    products = jnp.einsum("...d,...pd->...p", class_token, patches)
    own = jnp.maximum(norm(class_token), _SMALLEST_NORM)
    return products / (own[..., None] * jnp.maximum(norm(patches), _SMALLEST_NORM))


def distance_correlation(
    patches: Float[AnyArray, "*batch P D"], exponent: float
) -> Float[Array, "*batch M"]:
    """Centred powers of the distances between channels, M = D (D + 1) / 2.

    A channel is the vector of its values in all patches. E holds the squared distances of the
    channels, divided by 2 P; (E + 1e-5)^exponent is centred over rows and columns. The entries
    on and above the diagonal are given, row by row. On the diagonal E is a constant: computed
    as the others it would be rounding noise, with a slope of hundreds.
    """
    count, channels = patches.shape[-2:]
    gram = jnp.einsum("...pi,...pj->...ij", patches, patches) / (2 * count)
    own = jnp.einsum("...ii->...i", gram)
    squared = jnp.maximum(own[..., :, None] + own[..., None, :] - 2 * gram, 0)
    squared = jnp.where(np.eye(channels, dtype=bool), 0, squared)
    powers = (squared + _OFFSET) ** exponent
    rows = powers.mean(-1, keepdims=True)
    columns = powers.mean(-2, keepdims=True)
    centred = powers - rows - columns + rows.mean(-2, keepdims=True)
    upper = np.ravel_multi_index(np.triu_indices(channels), (channels, channels))
    flat = centred.reshape(*centred.shape[:-2], channels * channels)
    return flat.at[..., upper].get(
        indices_are_sorted=True, unique_indices=True, mode="promise_in_bounds"
    )


def frame_similarity(
    queries: Float[AnyArray, "Q T M"], prototypes: Float[AnyArray, "W S M"]
) -> Float[Array, "Q W T S"]:
    """Cosine of every frame of every query with every frame of every prototype.

    0.01 is added to the product of the norms, as in `similarity.cosine`.
    """
    size = queries.shape[-1]
    # One matrix product [Q T, W S].
    cosines = pairwise_cosine(queries.reshape(-1, size), prototypes.reshape(-1, size))
    sizes = (*queries.shape[:2], *prototypes.shape[:2])
    return cosines.reshape(sizes).transpose(0, 2, 1, 3)


def video_mean(
    supports: Float[AnyArray, "W K D"], mask: Bool[AnyArray, "W K"] | None = None
) -> Float[Array, "D"]:
    """Mean over all support videos of an episode.

    Args:
      mask: which are there.
    """
    if mask is None:
        return jnp.mean(supports, axis=(0, 1))
    return jnp.einsum("wk,wkd->d", mask.astype(supports.dtype), supports) / mask.sum()
