"""Change the colours of clips; every frame of a clip is treated alike.

The functions with float arguments take and give clips in 0..1, [T, H, W, 3]. `color_jitter` is
the published augmentation of CLIP-FSAR's Kinetics queries on uint8 clips.
"""

from typing import NamedTuple

import numpy as np

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue


def greyscale(clip: np.ndarray) -> np.ndarray:
    """Every pixel's grey in all three channels."""
    return np.repeat((clip @ GREY)[..., None], 3, axis=-1)


def brightness(clip: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black; 0 gives black, 1 the clip, more than 1 brightens."""
    return _blend(clip, np.float32(0), factor)


def contrast(clip: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean grey of the whole clip."""
    return _blend(clip, (clip @ GREY).mean(dtype=np.float32), factor)


def saturation(clip: np.ndarray, factor: float) -> np.ndarray:
    """Blend each pixel with its own grey."""
    return _blend(clip, (clip @ GREY)[..., None], factor)


def hue(clip: np.ndarray, turn: float) -> np.ndarray:
    """Turn the colour circle (HSV) by `turn`, where 1 is the whole circle."""
    value, low = clip.max(axis=-1), clip.min(axis=-1)
    chroma = value - low
    red, green, blue = np.moveaxis(clip, -1, 0)
    divisor = np.where(chroma > 0, chroma, 1)
    sixths = np.select(
        [value == red, value == green],
        [(green - blue) / divisor, 2 + (blue - red) / divisor],
        4 + (red - green) / divisor,
    )
    sixths = sixths + np.float32(6 * turn)
    # How far each channel lies below the value, by its distance on the circle.
    steps = (np.array([5, 3, 1], np.float32) + sixths[..., None]) % 6
    share = np.clip(np.minimum(steps, 4 - steps), 0, 1)
    return value[..., None] - chroma[..., None] * share


class Jitter(NamedTuple):
    """Changes of colours that were drawn; see `draw_jitter`."""

    grey: bool
    order: tuple[int, ...]
    factors: tuple[float, ...]  # of brightness, contrast and saturation
    turn: float


def draw_jitter(
    rng: np.random.Generator, *, strength: float = 0.5, turn: float = 0.25, grey: float = 0.3
) -> Jitter:
    """Draws changes of brightness, contrast, saturation and hue, and their order.

    Args:
      strength: the three factors are uniform in 1 - strength to 1 + strength.
      turn: the hue's turn is uniform in -turn to turn.
      grey: probability that the clip is made grey first.
    """
    # All numbers are drawn, used or not, so that what follows does not depend on them.
    draws = rng.random(5)
    order = np.argsort(rng.random(4), kind="stable")
    factors = 1 + strength * (2 * draws[:3] - 1)
    turned = turn * (2 * draws[3] - 1)
    return Jitter(draws[4] < grey, tuple(order.tolist()), tuple(factors.tolist()), float(turned))


def color_jitter(frames: np.ndarray, jitter: Jitter) -> np.ndarray:
    """Clips uint8 [T, H, W, 3] with their colours changed, rounded once after all changes."""
    clip = frames.astype(np.float32) / 255
    if jitter.grey:
        clip = greyscale(clip)
    changes = [brightness, contrast, saturation, hue]
    amounts = [*jitter.factors, jitter.turn]
    for i in jitter.order:
        clip = changes[i](clip, amounts[i])
    return np.rint(np.clip(clip, 0, 1) * 255).astype(np.uint8)


def _blend(clip: np.ndarray, other: np.ndarray | np.float32, factor: float) -> np.ndarray:
    share = np.float32(factor)
    return np.clip(share * clip + (1 - share) * other, 0, 1)
