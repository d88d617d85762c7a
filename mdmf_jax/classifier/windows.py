"""Long videos: windows decoded in one pass, and spans from what the windows say."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mdmf_jax.classifier.clips import ClipReader
from mdmf_jax.errors import ConfigError

FRAMES_KEPT = 8  # frames of a window kept for each one that is taken; bounds the memory
_SLACK = 1e-6  # seconds


class Window(NamedTuple):
    """A piece of a video, seconds from its first frame, and its test clips.

    Attributes:
      clips: by modality, uint8 [V, T, H, W, C].
    """

    start: float
    end: float
    clips: dict[str, np.ndarray]


class Span(NamedTuple):
    """Consecutive time with one label; `score` is its mean probability."""

    start: float
    end: float
    label: str
    score: float


def check_window(window: float, stride: float) -> None:
    """Raises ConfigError unless both are above 0 seconds and the stride is at most the window."""
    if not window > 0:
        raise ConfigError(f"window is {window}; it must be above 0 seconds")
    if not 0 < stride <= window:
        raise ConfigError(f"stride is {stride}; it must be above 0 and at most the window {window}")


def cut_windows(
    frames: Iterator[tuple[float, np.ndarray]], reader: ClipReader, window: float, stride: float
) -> Iterator[Window]:
    """Windows that begin every `stride` seconds, and one more that ends with the video.

    A video shorter than a window is one. Of a window's frames, those are taken that a test
    takes of a video. Frames that lie closer than window / (8 T) are passed over, so that no
    more than 8 T of a window are ever in memory.

    Args:
      frames: (time in seconds, uint8 [H, W, 3]), ascending.
    """
    held: list[tuple[float, np.ndarray]] = []
    gap = window / (FRAMES_KEPT * reader.frames)
    number, last, step = 0, 0.0, 0.0
    for time, frame in frames:
        step = time - last if time > last else step
        last = max(time, last)
        while time >= number * stride + window - _SLACK:
            yield from _window(held, reader, number * stride, number * stride + window)
            number += 1
            # The last window may begin as early as the one just given.
            held = [pair for pair in held if pair[0] >= (number - 1) * stride - _SLACK]
        if not held or time - held[-1][0] >= gap - _SLACK:
            held.append((time, reader.held(frame)))
    end = last + step
    if number * stride + window <= end + step / 2:
        yield from _window(held, reader, number * stride, number * stride + window)
    elif not number or (number - 1) * stride + window < end - step / 2:
        yield from _window(held, reader, max(0.0, end - window), end)


def _window(held, reader: ClipReader, start: float, end: float) -> Iterator[Window]:
    inside = [frame for time, frame in held if start - _SLACK <= time < end - _SLACK]
    if not inside:  # a gap in the video
        return
    yield Window(start, end, reader.cut(inside, f"{start:.1f} to {end:.1f} s"))


def merge_windows(
    bounds: np.ndarray,
    posteriors: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    names: Sequence[str],
) -> list[Span]:
    """Spans without overlap, ascending; time that fits no class is left out.

    Of all sets of windows without overlap, the one is taken whose scores lie highest above the
    threshold in sum (weighted interval scheduling). So a window across the border of two
    actions yields to those that hold one action whole; an average over all windows around a
    moment would let it speak with them. Neighbours of one class, with less than half a window
    between them, are joined.

    Args:
      bounds: start and end of the windows in seconds [N, 2].
      posteriors: [N, W].
      scores: [N]; windows below `threshold` fit no class.
    """
    spans: list[Span] = []
    for i in best_windows(bounds, scores - threshold):
        (start, end), best = bounds[i].tolist(), int(posteriors[i].argmax())
        new = Span(start, end, names[best], float(posteriors[i, best]))
        if spans and _touch(spans[-1], new):
            spans[-1] = _joined(spans[-1], new)
        else:
            spans.append(new)
    return spans


def best_windows(bounds: np.ndarray, gains: np.ndarray) -> list[int]:
    """Windows [N, 2] without overlap whose gains [N] have the largest sum, by their start."""
    order = np.argsort(bounds[:, 1], kind="stable")
    starts, ends, gains = bounds[order, 0], bounds[order, 1], gains[order]
    # before[i]: how many windows end by the time that window i begins.
    before = np.searchsorted(ends, starts + _SLACK, side="right")
    total = np.zeros(len(order) + 1)  # the best sum of the first windows
    for i, gain in enumerate(gains):
        total[i + 1] = max(total[i], gain + total[before[i]])
    chosen, i = [], len(order)
    while i:
        if total[i] > total[i - 1]:
            chosen.append(int(order[i - 1]))
            i = before[i - 1]
        else:
            i -= 1
    return chosen[::-1]


def _touch(old: Span, new: Span) -> bool:
    return old.label == new.label and new.start - old.end < (new.end - new.start) / 2 - _SLACK


def _joined(old: Span, new: Span) -> Span:
    before, after = old.end - old.start, new.end - new.start
    score = (old.score * before + new.score * after) / (before + after)
    return Span(old.start, new.end, old.label, score)
