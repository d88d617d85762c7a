"""Resize, crop and mirror clips; every frame of a clip is treated alike.

The transforms of few-shot video work (torch_videovision, which the published code of CLIP-MDMF,
TRX and TSA-MLT shares), with that library's defects corrected, and the squash of CLIP-FSAR.
Clips are uint8 [T, H, W, C]; sizes are (height, width) in pixels. Where a clip is cut is drawn
first (`Cut`) and done next, so that all modalities of a clip are cut alike.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from mdmf_jax.errors import ConfigError


class Cut(NamedTuple):
    """A square of a clip in pixels, from the upper left corner of the frames."""

    top: int
    left: int
    size: int
    mirrored: bool = False


def flip(frames: np.ndarray) -> np.ndarray:
    """Mirrored left to right, a view of `frames`."""
    return frames[:, :, ::-1]


def crop(
    frames: np.ndarray, cut: Cut, mirror: Callable[[np.ndarray], np.ndarray] = flip
) -> np.ndarray:
    """The square of the frames [N, H, W, C], mirrored if the cut says so: [N, size, size, C].

    Args:
      mirror: what a mirror does to such frames.
    """
    top, left, size, mirrored = cut
    square = frames[:, top : top + size, left : left + size]
    return mirror(square) if mirrored else square


def random_cut(height: int, width: int, size: int, mirror: bool, rng: np.random.Generator) -> Cut:
    """A square at random, mirrored left to right in half of the cases.

    Args:
      height, width: of the frames.
      size: side of the square.
      mirror: whether to mirror at all. The random numbers drawn do not depend on it.
      rng: source of the random numbers: mirroring, then column, then row. The column counts in
        the mirrored frames.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    mirrored = rng.random() < 0.5 and mirror
    rows, columns = _slack(height, width, size)
    left = int(rng.integers(columns + 1))
    top = int(rng.integers(rows + 1))
    return Cut(top, columns - left if mirrored else left, size, mirrored)


def fixed_cut(height: int, width: int, size: int, place: int = 0) -> Cut:
    """The square at place 0 to 4: centre, top left, top right, bottom left, bottom right.

    An odd margin is halved to the even neighbour, as Python's `round` does.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    rows, columns = _slack(height, width, size)
    corners = [(round(rows / 2), round(columns / 2)), (0, 0), (0, columns), (rows, 0)]
    return Cut(*[*corners, (rows, columns)][place], size)


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to `height` x `width` with Pillow's bilinear filter, which is antialiased.

    Returns:
      uint8 [T, height, width, C]; `frames` itself if it has that size already.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    channels = frames.shape[-1]
    resized = np.empty((len(frames), height, width, channels), np.uint8)
    # Pillow takes two or four channels for colours with transparency, and weighs them by it.
    groups = [slice(None)] if channels == 3 else range(channels)
    for source, target in zip(frames, resized, strict=True):
        for group in groups:
            image = Image.fromarray(source[..., group])
            scaled = image.resize((width, height), Image.Resampling.BILINEAR)
            target[..., group] = np.asarray(scaled)
    return resized


def short_side(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width of frames whose short side becomes `size`, the long one cut to an int."""
    if height < width:
        return size, int(size * width / height)
    return int(size * height / width), size


def resize_short_side(frames: np.ndarray, size: int) -> np.ndarray:
    """Scale so that the short side is `size` pixels and the long one int(size * long / short).

    Args:
      frames: uint8 [T, H, W, C].
      size: pixels.

    Returns:
      uint8 [T, H', W', C]; `frames` itself if the short side has that size already.
    """
    height, width = frames.shape[1:3]
    return resize(frames, *short_side(height, width, size))


def squash(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to `height` x `width` by two taps a side and no antialiasing.

    Source: the published reader of CLIP-FSAR, which resizes tensors bilinearly with pixel
    centres at halves (`align_corners` off). The result is rounded to whole grey levels here.

    Returns:
      uint8 [T, height, width, C]; `frames` itself if it has that size already.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    top, bottom, down = _taps(frames.shape[1], height)
    left, right, across = _taps(frames.shape[2], width)
    squashed = np.empty((len(frames), height, width, frames.shape[-1]), np.uint8)
    for source, target in zip(frames, squashed, strict=True):
        # Only the rows and columns that are used become float.
        upper, lower = source[top].astype(np.float32), source[bottom].astype(np.float32)
        rows = upper + (lower - upper) * down[:, None, None]
        mixed = rows[:, left] + (rows[:, right] - rows[:, left]) * across[:, None]
        target[:] = np.rint(mixed)
    return squashed


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two neighbours of each new pixel and the weight of the second, [new] each."""
    centres = np.maximum((np.arange(new) + 0.5) * (old / new) - 0.5, 0)
    first = np.minimum(centres.astype(np.int64), old - 1)
    return first, np.minimum(first + 1, old - 1), (centres - first).astype(np.float32)


def _slack(height: int, width: int, size: int) -> tuple[int, int]:
    if min(height, width) < size:
        raise ConfigError(
            f"data.crop={size} is larger than the frames ({height} x {width} pixels);"
            " set data.resize to at least data.crop"
        )
    return height - size, width - size
