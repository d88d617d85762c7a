"""Where the marks of a chart lie."""

import numpy as np
import pytest

from mdmf_jax.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    line_chart,
    round_numbers,
)


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (0, 1, [0, 0.5, 1]),
        (1.25, 2.5, [1.5, 2, 2.5]),
        (-0.07, 0.11, [-0.05, 0, 0.05, 0.1]),
        (3e-9, 9e-9, [4e-9, 6e-9, 8e-9]),
        (970, 31000, [10000, 20000, 30000]),
        (5, 5, [5]),
    ],
)
def test_round_numbers(low, high, numbers):
    assert round_numbers(low, high) == pytest.approx(numbers)


def test_steps_are_whole():
    assert round_numbers(1, 3, whole=True) == [1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_marks_lie_within_the_axes_and_agree_with_the_line(seed):
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.integers(1, 50, 10))
    values = rng.normal(size=10) * 10.0 ** rng.integers(-6, 6)
    chart = line_chart(list(zip(steps.tolist(), values.tolist(), strict=True)), "label", "value")
    xs, ys = np.array(chart.dots).T
    assert (xs.min(), xs.max()) == (LEFT, WIDTH - RIGHT)
    assert (ys.min(), ys.max()) == (TOP, HEIGHT - BOTTOM)
    for ticks, along, numbers in ((chart.across, xs, steps), (chart.up, ys, values)):
        assert 1 <= len(ticks) <= 6
        slope, start = np.polyfit(numbers, along, 1)  # places are linear in the numbers
        for tick in ticks:
            number = float(tick.text.replace(",", ""))
            assert tick.place == pytest.approx(start + slope * number, abs=1.5)
