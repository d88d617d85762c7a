"""Charts as SVG inside the page, in the colours of the page."""

from collections.abc import Sequence

from mdmf_jax.evaluation.tables import percent
from mdmf_jax.report.markup import Markup, join, tag

_WIDTH, _HEIGHT = 300, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 22


def line_chart(points: Sequence[tuple[float, float]], label: str) -> Markup:
    """Values by step as a line, with the largest and smallest value and the steps at the axes."""
    steps, values = [x for x, _ in points], [y for _, y in points]
    low, high = min(values), max(values)
    marks = [
        tag("text", short(high), x=_LEFT - 4, y=_TOP + 8, text_anchor="end"),
        tag("text", short(low), x=_LEFT - 4, y=_HEIGHT - _BOTTOM, text_anchor="end"),
        tag("text", short(steps[0]), x=_LEFT, y=_HEIGHT - 6),
        tag("text", short(steps[-1]), x=_WIDTH - _RIGHT, y=_HEIGHT - 6, text_anchor="end"),
    ]
    frame = f"M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"
    places = [(_across(x, steps[0], steps[-1]), _up(y, low, high)) for x, y in points]  # in pixels
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, class_="dot") for x, y in places]
    return tag(
        "svg",
        tag("path", d=frame, class_="axis"),
        tag("path", d=line, class_="line"),
        dots if len(dots) <= 25 else None,
        marks,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def barred(share: float) -> Markup:
    """A share 0..1 as a bar, which is hidden from those who listen, and as a number."""
    width = 100 * min(max(share, 0), 1)
    filled = tag("span", style=f"width:{width:.1f}%")
    drawn = tag("span", filled, class_="bar", aria_hidden="true")
    return join(drawn, " ", tag("span", percent(share), class_="number"))


def short(value: float) -> str:
    """A number with about three digits."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.3g}"


def _across(x: float, first: float, last: float) -> float:
    return _LEFT + (x - first) / ((last - first) or 1) * (_WIDTH - _LEFT - _RIGHT)


def _up(y: float, low: float, high: float) -> float:
    share = (y - low) / (high - low) if high > low else 0.5
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
