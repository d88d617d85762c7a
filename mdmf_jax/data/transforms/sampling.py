"""Choose T of the n frames of a video, by one of three published policies.

"ends": T equally spaced points from a first to a last frame, cut down to whole numbers. In
training both ends move at random by up to five frames; in a test the first and the last frame
are left out (CLIP-MDMF, TRX; they have T = 8 written in, here T takes its place).
"segments": one random frame from each of T equal intervals, in tests as well (CLIP-FSAR).
"span": equally spaced points over a part of the video (CLIP-FSAR on Kinetics).

A video of fewer than T frames repeats frames, whatever the policy.
"""

import numpy as np

POLICIES = ("ends", "segments", "span")
MAX_PAD = 5
SAMPLING_RATE = 35  # of CLIP-FSAR's settings for Kinetics


def choose_frames(
    policy: str, n: int, frames: int, rng: np.random.Generator, train: bool
) -> np.ndarray:
    """Indices of `frames` frames out of `n` by a policy, ascending, int64 [T].

    Args:
      policy: "ends", "segments" or "span".
      rng: used in training, and by "segments" in tests too.
    """
    if n < frames:
        return repeat_indices(n, frames)
    if policy == "segments":
        return segment_indices(n, frames, rng)
    if policy == "span":
        return span_indices(n, frames, rng if train else None)
    return frame_indices_train(n, frames, rng) if train else frame_indices_test(n, frames)


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


def segment_indices(n: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """One random frame from each of T intervals of n // T frames, ascending, int64 [T].

    As published, the last n % T frames are never used.

    Raises:
      ValueError: the video has fewer than `frames` frames.
    """
    _check(n, frames)
    length = n // frames
    return np.arange(frames) * length + (rng.random(frames) * length).astype(np.int64)


def span_indices(n: int, frames: int, rng: np.random.Generator | None) -> np.ndarray:
    """T equally spaced points over T * (n // T) - 35 frames, ascending, int64 [T].

    The published rule takes 8 * 35 * fps / 12 frames, 23 seconds, or if the video is shorter
    (all of Kinetics is) the multiple of 8 below its length; its last 35 frames are left out.
    The start is random with `rng`, in the middle without. Points outside the video are moved to
    its ends.

    Raises:
      ValueError: the video has fewer than `frames` frames.
    """
    _check(n, frames)
    length = n // frames * frames
    latest = n - length + 1
    start = latest * (0.5 if rng is None else rng.random())
    points = np.linspace(start, start + length - SAMPLING_RATE, frames)
    # A video shorter than the 35 frames left out would run backwards.
    return np.sort(np.clip(points, 0, n - 1).astype(np.int64))


def interleaved_indices(n: int, frames: int, clip: int, clips: int) -> np.ndarray:
    """Test clip 1 to clips - 1 of a video: each takes another frame of T equal intervals.

    Returns:
      floor((t + clip / clips) * n / T) for t = 0..T-1, ascending, int64 [T].
    """
    return (np.arange(frames) * clips + clip) * n // (frames * clips)


def repeat_indices(n: int, frames: int) -> np.ndarray:
    """All `n` frames of a short video, each as often as the others or once more, int64 [T]."""
    return np.arange(frames) * n // frames


def _spread(start: int, end: int, n: int, frames: int) -> np.ndarray:
    if n == frames:
        return np.arange(n)
    if end - start < frames:
        start, end = 0, n - 1
    return np.linspace(start, end, frames).astype(np.int64)


def _check(n: int, frames: int) -> None:
    if not 1 <= frames <= n:
        raise ValueError(f"cannot choose {frames} frames out of {n}")
