"""Where the marks of a chart lie; chart.svg.jinja draws them in the colours of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mdmf_jax.evaluation.tables import percent
from mdmf_jax.report.tables import Cell

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 40
_TICKS = 4  # about so many at each axis
_MOST_DOTS = 25


@dataclass(frozen=True)
class Tick:
    """A number at an axis: its place in pixels and what it says."""

    place: float
    text: str


@dataclass(frozen=True)
class LineChart:
    """Values by step.

    Attributes:
      label: what it shows, for those who listen.
      value_name: name of the upright axis; the other one is "step".
      line: the points as an SVG path.
      dots: places of the points, if they are few.
      level: place of the line that the values are compared with, and what it says.
    """

    label: str
    value_name: str
    line: str
    dots: Sequence[tuple[float, float]]
    across: Sequence[Tick]
    up: Sequence[Tick]
    level: Tick | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(
    points: Sequence[tuple[float, float]],
    label: str,
    value_name: str,
    chance: float | None = None,
) -> LineChart:
    """A chart of finite (step, value), in ascending steps.

    Args:
      chance: what guessing gives; a dashed line at this height.
    """
    steps, values = [x for x, _ in points], [y for _, y in points]
    seen = values if chance is None else [*values, chance]
    low, high = min(seen), max(seen)

    def across(x: float) -> float:
        return round(LEFT + _share(x, steps[0], steps[-1]) * (WIDTH - LEFT - RIGHT), 1)

    def up(y: float) -> float:
        return round(HEIGHT - BOTTOM - _share(y, low, high) * (HEIGHT - TOP - BOTTOM), 1)

    places = [(across(x), up(y)) for x, y in points]
    return LineChart(
        label=label,
        value_name=value_name,
        line="M" + "L".join(f"{x} {y}" for x, y in places),
        dots=places if len(places) <= _MOST_DOTS else (),
        across=[Tick(across(x), short(x)) for x in round_numbers(steps[0], steps[-1], whole=True)],
        up=[Tick(up(y), short(y)) for y in round_numbers(low, high)],
        level=None if chance is None else Tick(up(chance), "chance"),
    )


def round_numbers(low: float, high: float, whole: bool = False) -> list[float]:
    """Round numbers from low to high, about four; whole ones if asked."""
    if not high > low:
        return [low]
    size = 10 ** math.floor(math.log10((high - low) / _TICKS))
    gap = next(n * size for n in (1, 2, 5, 10) if n * size >= (high - low) / _TICKS)
    gap = max(gap, 1) if whole else gap
    first, last = math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9)
    return [float(f"{n * gap:.12g}") for n in range(first, last + 1)]


def bar(share: float) -> Cell:
    """A share 0..1 as a bar, which is hidden from those who listen, and as a number."""
    return Cell(percent(share), "bar", share=min(max(share, 0.0), 1.0))


def short(value: float) -> str:
    """A number with about three digits."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.3g}"


def _share(x: float, low: float, high: float) -> float:
    return (x - low) / (high - low) if high > low else 0.5
