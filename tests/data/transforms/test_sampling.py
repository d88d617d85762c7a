"""Against the published rule, written out once more in plain Python."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mdmf_jax.data.transforms.sampling import (
    POLICIES,
    choose_frames,
    frame_indices_test,
    frame_indices_train,
    interleaved_indices,
    segment_indices,
    span_indices,
)

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


@pytest.mark.parametrize("n", [8, 9, 15, 16, 20, 43, 100])
def test_segments_take_one_frame_of_each_interval(n):
    rng, length = np.random.default_rng(n), n // 8
    drawn = np.array([segment_indices(n, 8, rng) for _ in range(80 * length)])
    assert drawn.dtype == np.int64
    for k in range(8):
        counts = np.bincount(drawn[:, k] - k * length, minlength=length)
        assert len(counts) == length  # none before the interval, none after it
        assert (abs(counts - 80) < 60).all()  # six standard deviations
    assert length == 1 or len(np.unique(drawn - drawn[:, :1], axis=0)) > 8  # each on its own


@pytest.mark.parametrize("n", [300, 299, 250, 80, 47, 20, 8])
def test_span_follows_the_rule_of_clip_fsar(n):
    """A video of less than 23 s: its length cut to a multiple of 8, less 35 at the end."""
    clip = math.floor(n / 8) * 8
    latest = max(n - clip + 1, 0)

    def points(start):
        end = start + clip - 35
        exact = [start + i * (end - start) / 7 for i in range(8)]
        return sorted(int(min(max(point, 0), n - 1)) for point in exact)

    assert span_indices(n, 8, None).tolist() == points(latest / 2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        state = rng.bit_generator.state
        start = np.random.default_rng(0)
        start.bit_generator.state = state
        assert span_indices(n, 8, rng).tolist() == points(start.random() * latest)


def test_span_of_a_video_of_kinetics():
    indices = span_indices(300, 8, None)
    assert indices.tolist() == [2, 39, 77, 114, 151, 188, 226, 263]


@pytest.mark.parametrize("views", [2, 3, 5])
def test_views_interleave(views):
    """All views of a video of views * T frames together take every frame once."""
    n = 8 * views
    taken = [interleaved_indices(n, 8, view, views) for view in range(views)]
    assert sorted(np.concatenate(taken).tolist()) == list(range(n))
    for n in (8, 13, 100):
        for view in range(views):
            indices = interleaved_indices(n, 8, view, views)
            exact = [math.floor((Fraction(view, views) + t) * n / 8) for t in range(8)]
            assert indices.tolist() == exact and 0 <= min(exact) and max(exact) < n


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("train", [False, True])
def test_short_videos_repeat_frames(policy, train):
    rng = np.random.default_rng(0)
    for n in range(1, 8):
        indices = choose_frames(policy, n, 8, rng, train)
        counts = np.bincount(indices, minlength=n)
        assert len(indices) == 8 and (np.diff(indices) >= 0).all()
        assert len(counts) == n and counts.max() - counts.min() <= 1
    assert choose_frames(policy, 3, 8, rng, train).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_policies_by_name():
    for train in (False, True):
        rng = np.random.default_rng(4)
        expected = {
            "ends": frame_indices_train(90, 8, rng) if train else frame_indices_test(90, 8),
            "segments": segment_indices(90, 8, np.random.default_rng(4)),
            "span": span_indices(90, 8, np.random.default_rng(4) if train else None),
        }
        for policy in POLICIES:
            chosen = choose_frames(policy, 90, 8, np.random.default_rng(4), train)
            np.testing.assert_array_equal(chosen, expected[policy])
