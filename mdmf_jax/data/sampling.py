"""Choose T of the n frames of a video, as the published code of CLIP-MDMF does.

T equally spaced points from a first to a last frame, cut down to whole numbers. In training
both ends move at random by up to five frames; in a test the first and the last frame are left
out. The published code has T = 8 written in; here T takes its place.
"""

import numpy as np

MAX_PAD = 5


def frame_indices_train(n: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `frames` frames out of `n` with random ends, ascending, int64 [T].

    Raises:
      ValueError: the video has fewer than `frames` frames.
    """
    _check(n, frames)
    pad = int(min(MAX_PAD, (n - frames) / 2))
    if pad < 1:
        return _spread(0, n - 1, n, frames)
    start = int(rng.integers(0, pad + 1))
    end = int(rng.integers(n - 1 - pad, n))
    return _spread(start, end, n, frames)


def frame_indices_test(n: int, frames: int) -> np.ndarray:
    """Indices of `frames` frames out of `n`, the same at every call, ascending, int64 [T].

    Raises:
      ValueError: the video has fewer than `frames` frames.
    """
    _check(n, frames)
    return _spread(1, n - 2, n, frames)


def _spread(start: int, end: int, n: int, frames: int) -> np.ndarray:
    if n == frames:
        return np.arange(n)
    if end - start < frames:
        start, end = 0, n - 1
    return np.linspace(start, end, frames).astype(np.int64)


def _check(n: int, frames: int) -> None:
    if not 1 <= frames <= n:
        raise ValueError(f"cannot choose {frames} frames out of {n}")
