"""Against the published rule, written out once more in plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mdmf_jax.data.sampling import frame_indices_test, frame_indices_train

LENGTHS = [*range(8, 41), 63, 64, 100, 250, 301, 1001]


def rule(start, end, n, frames):
    """The indices by exact arithmetic."""
    if n == frames:
        return list(range(n))
    if end - start < frames:
        start, end = 0, n - 1
    return [math.floor(start + Fraction(i * (end - start), frames - 1)) for i in range(frames)]


def floating_rule(start, end, n, frames):
    """The same in float64, which the published code uses: a whole number may come out one less."""
    if n == frames:
        return list(range(n))
    if end - start < frames:
        start, end = 0, n - 1
    step = (end - start) / (frames - 1)
    return [*(int(i * step + start) for i in range(frames - 1)), end]


def largest_pad(n, frames):
    return max(pad for pad in range(6) if 2 * pad <= n - frames)


@pytest.mark.parametrize("n", LENGTHS)
def test_test_indices_follow_the_rule(n):
    indices = frame_indices_test(n, 8)
    assert indices.dtype == np.int64
    assert indices.tolist() == floating_rule(1, n - 2, n, 8)
    exact = np.array(rule(1, n - 2, n, 8))
    assert np.isin(exact - indices, [0, 1]).all()
    assert (exact == indices).mean() > 0.5


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (9, [0, 1, 2, 3, 4, 5, 6, 8]),
        (10, [0, 1, 2, 3, 5, 6, 7, 9]),
        (11, [1, 2, 3, 4, 5, 6, 7, 9]),
        (24, [1, 4, 7, 10, 13, 16, 19, 22]),
    ],
)
def test_test_indices_worked_by_hand(n, expected):
    assert frame_indices_test(n, 8).tolist() == expected


@pytest.mark.parametrize("n", LENGTHS)
def test_train_indices_are_those_of_an_allowed_start_and_end(n):
    pad = largest_pad(n, 8)
    allowed = {
        tuple(floating_rule(start, end, n, 8))
        for start in range(pad + 1)
        for end in range(n - 1 - pad, n)
    }
    rng = np.random.default_rng(n)
    drawn = {tuple(frame_indices_train(n, 8, rng).tolist()) for _ in range(400)}
    assert drawn <= allowed
    # 400 draws of at most 36 equally likely ends: each is missed with probability 1e-5.
    assert drawn == allowed


def test_train_ends_are_uniform():
    rng = np.random.default_rng(0)
    ends = np.array([frame_indices_train(60, 8, rng)[[0, -1]] for _ in range(6000)])
    starts, lasts = np.bincount(ends[:, 0], minlength=6), np.bincount(59 - ends[:, 1], minlength=6)
    assert len(starts) == len(lasts) == 6
    assert (abs(starts - 1000) < 150).all()  # five standard deviations
    assert (abs(lasts - 1000) < 150).all()


@pytest.mark.parametrize("frames", [1, 2, 4, 16])
def test_other_numbers_of_frames(frames):
    rng = np.random.default_rng(0)
    for n in range(frames, 60):
        for indices in (frame_indices_test(n, frames), frame_indices_train(n, frames, rng)):
            assert indices.shape == (frames,)
            assert indices[0] >= 0 and indices[-1] < n
            assert (np.diff(indices) > 0).all()


def test_too_short():
    with pytest.raises(ValueError, match="8 frames out of 7"):
        frame_indices_test(7, 8)
    with pytest.raises(ValueError, match="8 frames out of 7"):
        frame_indices_train(7, 8, np.random.default_rng(0))
