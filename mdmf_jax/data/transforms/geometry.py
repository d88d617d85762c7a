"""Resize, crop, mirror and rotate clips; every frame of a clip is treated alike.

The transforms of few-shot video work (torch_videovision, which the published code of CLIP-MDMF,
TRX and TSA-MLT shares), with that library's defects corrected, and the squash of CLIP-FSAR.
Clips are uint8 [T, H, W, 3]; sizes are (height, width) in pixels.
"""

import numpy as np
from PIL import Image

from mdmf_jax.errors import ConfigError


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to `height` x `width` with Pillow's bilinear filter, which is antialiased.

    Returns:
      uint8 [T, height, width, 3]; `frames` itself if it has that size already.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for source, target in zip(frames, resized, strict=True):
        image = Image.fromarray(source).resize((width, height), Image.Resampling.BILINEAR)
        target[:] = np.asarray(image)
    return resized


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
        return resize(frames, size, int(size * width / height))
    return resize(frames, int(size * height / width), size)


def random_resize(
    frames: np.ndarray, rng: np.random.Generator, ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> np.ndarray:
    """Scale both sides by one factor, uniform in `ratio`; sizes are cut down to whole pixels."""
    factor = ratio[0] + rng.random() * (ratio[1] - ratio[0])
    height, width = frames.shape[1:3]
    return resize(frames, max(1, int(height * factor)), max(1, int(width * factor)))


def squash(frames: np.ndarray, size: int) -> np.ndarray:
    """Scale to a square without keeping the aspect, by two taps a side and no antialiasing.

    Source: the published reader of CLIP-FSAR, which resizes tensors bilinearly with pixel
    centres at halves (`align_corners` off). The result is rounded to whole grey levels here.

    Returns:
      uint8 [T, size, size, 3].
    """
    height, width = frames.shape[1:3]
    if (height, width) == (size, size):
        return frames
    (top, bottom, down), (left, right, across) = _taps(height, size), _taps(width, size)
    squashed = np.empty((len(frames), size, size, 3), np.uint8)
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


def flip(frames: np.ndarray) -> np.ndarray:
    """Mirrored left to right, a view of `frames`."""
    return frames[:, :, ::-1]


def rotate(frames: np.ndarray, degrees: float) -> np.ndarray:
    """Turned counter-clockwise about the centre; nearest pixels, same size, black corners."""
    turned = [Image.fromarray(frame).rotate(degrees) for frame in frames]
    return np.stack([np.asarray(image) for image in turned])


def random_rotation(frames: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Turned by an angle that is uniform in -degrees to degrees."""
    return rotate(frames, degrees * (2 * rng.random() - 1))


def random_crop(frames: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square at random, column drawn before row, uint8 [T, size, size, 3], a view.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    rows, columns = _slack(frames, size)
    left = int(rng.integers(columns + 1))
    top = int(rng.integers(rows + 1))
    return frames[:, top : top + size, left : left + size]


def random_crop_flip(
    frames: np.ndarray, size: int, mirror: bool, rng: np.random.Generator
) -> np.ndarray:
    """A random square of the clip, mirrored left to right in half of the cases.

    Args:
      frames: uint8 [N, H, W, 3].
      size: side of the square in pixels.
      mirror: whether to mirror at all. The random numbers drawn do not depend on it.
      rng: source of the random numbers: mirroring, then column, then row.

    Returns:
      uint8 [N, size, size, 3], a view of `frames`.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    if rng.random() < 0.5 and mirror:
        frames = flip(frames)
    return random_crop(frames, size, rng)


def center_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle, uint8 [N, size, size, 3], a view of `frames`.

    An odd margin is halved to the even neighbour, as Python's `round` does.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    return view_crop(frames, size, 0)


def view_crop(frames: np.ndarray, size: int, place: int) -> np.ndarray:
    """The square at place 0 to 4: centre, top left, top right, bottom left, bottom right.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    rows, columns = _slack(frames, size)
    corners = [(round(rows / 2), round(columns / 2)), (0, 0), (0, columns), (rows, 0)]
    top, left = [*corners, (rows, columns)][place]
    return frames[:, top : top + size, left : left + size]


def ten_crop(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """The squares of `view_crop`, then those of the mirrored clip; ten views of `frames`.

    Raises:
      ConfigError: the frames are smaller than the square.
    """
    return [view_crop(clip, size, place) for clip in (frames, flip(frames)) for place in range(5)]


def _slack(frames: np.ndarray, size: int) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise ConfigError(
            f"data.crop={size} is larger than the frames ({height} x {width} pixels);"
            " set data.resize to at least data.crop"
        )
    return height - size, width - size
