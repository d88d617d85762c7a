"""Ordered frame tuples ("segments"), their positions, and which of them are compared.

A tuple of cardinality m is m frames of a video in temporal order, not necessarily neighbours.
All C(T, m) tuples of a video are numbered in lexicographic order, as in TRX (Perrett et al.,
CVPR 2021, arXiv 2101.06184) and TSA-MLT (arXiv 2307.01985).
"""

from itertools import combinations
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

POSITION_SCALE = 0.1


def frame_tuples(frames: int, size: int) -> Int[np.ndarray, "count size"]:
    """Frame numbers of all tuples of `size` of the 0..frames-1, in lexicographic order."""
    return np.array(list(combinations(range(frames), size)), np.int32).reshape(-1, size)


def spread_tuples(frames: int, size: int, count: int) -> Int[np.ndarray, "count size"]:
    """`count` tuples at even distances in the list of all; always the same ones."""
    total = comb(frames, size)
    return frame_tuples(frames, size)[(2 * np.arange(count) + 1) * total // (2 * count)]


def draw_tuples(
    key: PRNGKeyArray, frames: int, size: int, count: int
) -> Int[Array, "count size"] | Int[np.ndarray, "count size"]:
    """`count` different tuples, drawn uniformly; the order is random too, unless all are taken."""
    everything = frame_tuples(frames, size)
    if count == len(everything):
        return everything
    picked = jax.random.choice(key, len(everything), (count,), replace=False)
    return jnp.asarray(everything)[picked]


def position_encoding(
    frames: int, features: int, scale: float = POSITION_SCALE
) -> Float[np.ndarray, "T D"]:
    """Sines (even features) and cosines (odd ones) of the frame's number, times `scale`.

    The wavelengths grow from 2 pi to 2 pi 10000, as in the published code of TRX, which adds
    them times 0.1 for at most 12 frames.
    """
    pairs = np.arange(features) // 2
    angles = np.arange(frames)[:, None] / 10000 ** (2 * pairs / features)
    return (scale * np.where(np.arange(features) % 2, np.cos(angles), np.sin(angles))).astype(
        np.float32
    )
