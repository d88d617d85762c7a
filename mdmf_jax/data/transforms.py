"""Resize, crop and flip clips; every frame of a clip gets the same random numbers.

As in the published code of CLIP-MDMF (the clip transforms that it shares with TRX): short side
to a fixed size with Pillow's bilinear filter, then flip and random crop in training, or the
centre crop. Clips are uint8 [T, H, W, 3].
"""

import numpy as np
from PIL import Image

from mdmf_jax.errors import ConfigError


def resize_short_side(frames: np.ndarray, size: int) -> np.ndarray:
    """Scale so that the short side is `size` pixels and the long one int(size * long / short).

    Args:
      frames: uint8 [T, H, W, 3].
      size: pixels.

    Returns:
      uint8 [T, H', W', 3]; `frames` itself if the short side has that size already.
    """
    height, width = frames.shape[1:3]
    if min(height, width) == size:
        return frames
    if height < width:
        shape = (size, int(size * width / height))
    else:
        shape = (int(size * height / width), size)
    resized = np.empty((len(frames), *shape, 3), np.uint8)
    for source, target in zip(frames, resized, strict=True):
        image = Image.fromarray(source).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        target[:] = np.asarray(image)
    return resized


def random_crop_flip(
    frames: np.ndarray, size: int, flip: bool, rng: np.random.Generator
) -> np.ndarray:
    """A random square of the clip, mirrored left to right in half of the cases.

    Args:
      frames: uint8 [N, H, W, 3].
      size: side of the square in pixels.
      flip: whether to mirror at all. The random numbers drawn do not depend on it.
      rng: source of the random numbers: flip, then column, then row.

    Returns:
      uint8 [N, size, size, 3], a view of `frames`.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    rows, columns = _slack(frames, size)
    mirror = rng.random() < 0.5 and flip
    left = int(rng.integers(columns + 1))
    top = int(rng.integers(rows + 1))
    if mirror:
        frames = frames[:, :, ::-1]
    return frames[:, top : top + size, left : left + size]


def center_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle, uint8 [N, size, size, 3], a view of `frames`.

    An odd margin is halved to the even neighbour, as Python's `round` does.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    rows, columns = _slack(frames, size)
    top, left = round(rows / 2), round(columns / 2)
    return frames[:, top : top + size, left : left + size]


def _slack(frames: np.ndarray, size: int) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise ConfigError(
            f"data.crop={size} is larger than the frames ({height} x {width} pixels);"
            " set data.resize to at least data.crop"
        )
    return height - size, width - size
