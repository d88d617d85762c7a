"""Windows of a stream of frames, and spans of windows."""

from itertools import combinations

import numpy as np
import pytest

from mdmf_jax.classifier.clips import ClipReader, timed_frames
from mdmf_jax.classifier.settings import ClipSettings
from mdmf_jax.classifier.windows import (
    Span,
    best_windows,
    check_window,
    cut_windows,
    merge_windows,
)
from mdmf_jax.errors import ConfigError, DataError

SETTINGS = ClipSettings(3, 4, 4, "mdmf", "ends", 1)


def stream(times):
    """Frames whose grey level is their number."""
    for number, time in enumerate(times):
        yield time, np.full((4, 4, 3), number, np.uint8)


def windows(times, window, stride):
    found = cut_windows(stream(times), ClipReader(SETTINGS), window, stride)
    return [(w.start, w.end, w.clips["rgb"][0, :, 0, 0, 0].tolist()) for w in found]


def test_windows_take_frames_by_their_times():
    assert windows(np.arange(10) / 2, 2.0, 1.0) == [
        (0.0, 2.0, [0, 1, 3]),
        (1.0, 3.0, [2, 3, 5]),
        (2.0, 4.0, [4, 5, 7]),
        (3.0, 5.0, [6, 7, 9]),
    ]


def test_a_video_shorter_than_a_window_is_one():
    assert windows([0, 0.1, 0.2], 2.0, 1.0) == [(0.0, pytest.approx(0.3), [0, 1, 2])]


def test_the_last_window_ends_with_the_video():
    found = windows(np.arange(11) / 2, 2.0, 2.0)
    assert [w[:2] for w in found] == [(0.0, 2.0), (2.0, 4.0), (3.5, 5.5)]
    assert found[-1][2] == [7, 8, 10]


def test_variable_frame_rate_and_a_gap():
    times = [0, 0.1, 0.2, 0.3, 1.0, 1.5, 6.0, 6.5]
    found = windows(times, 2.0, 2.0)
    # Nothing is shown from 2 to 6 s, as far as the times tell.
    assert [w[:2] for w in found] == [(0.0, 2.0), (5.0, 7.0)]
    assert found[0][2] == [1, 2, 4]  # 6 frames, the first and the last left out
    assert set(found[1][2]) == {6, 7}


def test_few_frames_are_kept_at_high_frame_rates():
    kept = []

    class Counting(ClipReader):
        def scale(self, frames):
            kept.append(int(frames[0, 0, 0, 0]))
            return super().scale(frames)

    frames = ((n / 1000, np.full((4, 4, 3), n // 8, np.uint8)) for n in range(2000))
    found = list(cut_windows(frames, Counting(SETTINGS), 1.0, 1.0))
    assert [w[:2] for w in found] == [(0.0, 1.0), (1.0, 2.0)]
    assert 40 <= len(kept) <= 2 * 8 * 3 + 2
    first, middle, last = found[0].clips["rgb"][0, :, 0, 0, 0].astype(int) * 8
    assert first < 100 and 400 < middle < 600 and last > 900


def test_best_windows_are_the_best_of_all_sets():
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = rng.integers(0, 12, 8)
        bounds = np.stack([starts, starts + rng.integers(1, 5, 8)], 1).astype(float)
        gains = rng.normal(size=8)

        def fits(chosen, bounds=bounds):
            return all(
                bounds[a][1] <= bounds[b][0] or bounds[b][1] <= bounds[a][0]
                for a, b in combinations(chosen, 2)
            )

        sets = [s for n in range(9) for s in combinations(range(8), n) if fits(s)]
        best = max(sum(gains[list(s)]) for s in sets)
        found = best_windows(bounds, gains)
        assert fits(found) and [bounds[i][0] for i in found] == sorted(bounds[found, 0])
        assert sum(gains[found]) == pytest.approx(best)


def test_spans():
    bounds = np.array([[0, 2], [1, 3], [2, 4], [4.5, 6.5], [7, 9], [8, 10.0]])
    posteriors = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [1, 0.0]])
    scores = np.array([5.0, 3, 5, 5, 0, 4])
    found = merge_windows(bounds, posteriors, scores, 1.0, ["run", "jump"])
    assert found == [
        Span(0, 2, "run", 0.9),
        Span(2, 6.5, "jump", pytest.approx(0.7)),
        Span(8, 10, "run", 1.0),
    ]
    assert merge_windows(bounds, posteriors, scores, 6.0, ["run", "jump"]) == []


def test_wrong_windows():
    for window, stride in ((0, 1), (1, 0), (1, 2), (float("nan"), 1)):
        with pytest.raises(ConfigError, match="must be above 0"):
            check_window(window, stride)


def test_times_of_inputs(videos, tmp_path):
    path = videos / "test" / "test_red_box" / "0.mp4"
    found = [time for time, _ in timed_frames(path, 99.0)]
    assert found == pytest.approx(np.arange(9) / 12)
    array = np.zeros((3, 4, 4, 3), np.uint8)
    assert [time for time, _ in timed_frames(array, 2.0)] == [0, 0.5, 1]
    with pytest.raises(DataError, match="no such file"):
        list(timed_frames(tmp_path / "absent.mp4", 2.0))
