"""Pictures of results: a forest plot of compared methods, a heat map of a grid of tasks.

Both are drawn without a screen and written as PNG and SVG; the SVG keeps its text as text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdmf_jax.comparison.tables import signed, task_line
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.tables import with_interval
from mdmf_jax.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK, _GREY, _COLOUR = "#222222", "#8a8a8a", "#1f5fa8"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "mdmf_jax",
    "text.usetex": False,
}


def forest_plot(results: Mapping[str, Any], folder: Path, name: str = "forest") -> list[Path]:
    """Accuracy, difference to the first method and order pairs, each with its interval.

    Args:
      results: what compare.json holds.
      folder: where name.png and name.svg are written.

    Returns:
      The two files.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        return _save(_forest(results), folder, name)


def heat_map(results: Mapping[str, Any], folder: Path, name: str = "grid") -> list[Path]:
    """Accuracy by way and shot; see `forest_plot` for arguments and return.

    Args:
      results: what grid.json holds.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        return _save(_heat(results), folder, name)


def _forest(results: Mapping[str, Any]) -> "Figure":
    from matplotlib.figure import Figure

    entries = results["entries"]
    chance = 100 / results["task"]["way"]
    panels: list[tuple[str, Sequence[Any], float]] = [
        (f"Accuracy, % (chance {chance:.0f})", entries, chance)
    ]
    differences = [None if i == 0 else entry["difference"] for i, entry in enumerate(entries)]
    if len(entries) > 1:
        title = f"Difference to {_short(entries[0]['name'])}, points"
        panels.append((title, differences, 0.0))
    if results["pairs"]:
        pairs = [e["pairs"] for e in entries]
        panels.append(("Accuracy on order pairs, % (chance 50)", pairs, 50.0))
    size = (1.8 + 3.3 * len(panels), 1.3 + 0.36 * len(entries))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(task_line(results), fontsize=10, parse_math=False)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, points, line) in zip(axes, panels, strict=True):
        _panel(panel, title, points, line)
    names = [_short(entry["name"]) for entry in entries]
    axes[0].set_yticks(range(len(names)), names, parse_math=False)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _panel(axes: "Axes", title: str, points: Sequence[Any], line: float) -> None:
    """Points with intervals, one a row from the top; None says which the others refer to."""
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.axvline(line, color=_GREY, linewidth=1, linestyle="--", zorder=1)
    for row, point in enumerate(points):
        if point is None:
            axes.plot(line, row, "D", color=_GREY, markersize=5, zorder=3)
            _label(axes, row, line, "reference")
            continue
        accuracy = "accuracy" in point
        middle, width = point["accuracy" if accuracy else "mean"], point["interval95"]
        axes.errorbar(
            100 * middle, row, xerr=100 * width, fmt="o", color=_COLOUR, markersize=5, capsize=3
        )
        text = with_interval(point).replace("%", "") if accuracy else signed(point)
        _label(axes, row, 100 * middle, text)
    axes.margins(x=0.16)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _label(axes: "Axes", row: int, x: float, text: str) -> None:
    axes.annotate(
        text, (x, row), (0, 5), textcoords="offset points", ha="center", va="bottom",
        fontsize=8, color=_DARK, parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _heat(results: Mapping[str, Any]) -> "Figure":
    import numpy as np
    from matplotlib.figure import Figure

    ways, shots = results["ways"], results["shots"]
    values = {(cell["way"], cell["shot"]): 100 * cell["accuracy"] for cell in results["cells"]}
    grid = np.array([[values[way, shot] for shot in shots] for way in ways])
    size = (3.4 + 0.62 * len(shots), 1.7 + 0.45 * len(ways))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(shots)), shots)
    axes.set_yticks(range(len(ways)), [f"{way} (chance {100 / way:.0f}%)" for way in ways])
    axes.set_xlabel("shot (labelled videos a class)")
    axes.set_ylabel("way (classes)")
    axes.set_title(_short(results["name"], 60), fontsize=10, parse_math=False)
    middle = (grid.min() + grid.max()) / 2
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if value <= middle else "black"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=axes, label="accuracy, %")
    return figure


def _save(figure: "Figure", folder: Path, name: str) -> list[Path]:
    pictures = [Path(folder) / f"{name}.{kind}" for kind in ("png", "svg")]
    for file in pictures:
        # Without a date the same results give the same file.
        metadata = {"Date": None} if file.suffix == ".svg" else None
        with whole_file(file, DataError, "give another --out") as temporary:
            figure.savefig(temporary, dpi=150, format=file.suffix[1:], metadata=metadata)
    return pictures


def _short(text: str, length: int = 32) -> str:
    """One line of at most so many signs."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
