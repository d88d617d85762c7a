"""The picture of an alignment: two clips, the similarity of their frames, and OTAM's path."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_jax.data.transforms.geometry import resize_short_side
from mdmf_jax.evaluation.alignment_path import alignment_path
from mdmf_jax.report.templates import allowed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "mdmf_jax",
    "text.usetex": False,
    "image.interpolation": "none",  # an SVG then holds the frames as they are
}
_METADATA = ("Date", "Creator", "Format", "Type")  # left out
INK, PATH = "#1b1f24", "#d95f02"
_FAINTEST = 0.04  # probabilities below it are not drawn
# Cosines have the same colours in every picture: frames that are all alike look all alike. The
# darkest blue stays unused, so that dots and rings are to be seen on every cell.
_WHITE, _DARKEST = 0.0, 1.5
_FRAME = 48  # short side of the frames, pixels
_DOT = 0.55  # diameter of the dot of probability 1, in cells


@dataclass(frozen=True)
class DrawnPanel:
    """What one panel shows.

    Attributes:
      title: such as "local view".
      similarity: cosines of the query's frames (rows) and the support's [T, S].
      path, back: see `alignment_path`; back may be None.
    """

    title: str
    similarity: np.ndarray
    path: np.ndarray
    back: np.ndarray | None


def panel_of(
    title: str, similarity: np.ndarray, temperature: float, bidirectional: bool = True
) -> DrawnPanel:
    """A panel with the alignment path of frame cosines [T, S]."""
    path, back = alignment_path(1 - np.asarray(similarity), temperature, bidirectional)
    return DrawnPanel(title, np.asarray(similarity), path, back)


def alignment_svg(panel: DrawnPanel, query: np.ndarray, support: np.ndarray) -> bytes:
    """An SVG of one panel; frames uint8 [T, h, w, 3] and [S, h, w, 3]."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        side = panel_inches([panel])
        figure = Figure(figsize=(side, side + 0.75), layout="constrained")
        draw_panels(figure, [panel], query, support)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_METADATA))
    # Hundredths of a point are enough. A dot within the data of a frame cannot be.
    return re.sub(rb"(\.\d\d)\d+", rb"\1", buffer.getvalue())


def panel_inches(panels: Sequence[DrawnPanel]) -> float:
    """Width of a panel: enough to tell its frames apart."""
    return max(3.0, 0.3 * max(max(panel.similarity.shape) for panel in panels))


def draw_panels(
    figure: "Figure", panels: Sequence[DrawnPanel], query: np.ndarray, support: np.ndarray
) -> None:
    """Draws the panels and their legend into a figure or a part of one."""
    from matplotlib.lines import Line2D

    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, query, support)
    dot: dict[str, Any] = {"linestyle": "", "markersize": 7}
    marks = [Line2D([], [], marker="o", color=PATH, label="path of the query's frames", **dot)]
    if any(panel.back is not None for panel in panels):
        ring: dict[str, Any] = dot | {"markerfacecolor": "none", "markeredgecolor": INK}
        marks.append(Line2D([], [], marker="o", label="path of the support's frames", **ring))
    figure.legend(
        handles=marks, loc="outside lower center", ncols=1 if len(panels) == 1 else 2,
        frameon=False, fontsize=8,
    )  # fmt: skip


def _draw(axes: "Axes", panel: DrawnPanel, query: np.ndarray, support: np.ndarray) -> None:
    cosines = panel.similarity
    rows, columns = cosines.shape
    low, high = float(cosines.min()), float(cosines.max())
    axes.pcolormesh(cosines, cmap="Blues", vmin=_WHITE, vmax=_DARKEST, zorder=1)
    for number, frame in enumerate(_small(query)):
        _frame(axes, frame, -1.15, number)
    for number, frame in enumerate(_small(support)):
        _frame(axes, frame, number, -1.15)
    _dots(axes, panel.path, {"color": PATH, "linewidths": 0})
    if panel.back is not None:
        _dots(axes, panel.back, {"facecolors": "none", "edgecolors": INK, "linewidths": 0.9})
    axes.set_xlim(-1.2, columns)
    axes.set_ylim(rows, -1.2)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel("query, from top to bottom", fontsize=8)
    axes.set_xlabel("support, from left to right", fontsize=8)
    axes.spines[:].set_visible(False)
    span = f"cosines {low:.2f} to {high:.2f} (0 is white, 1 blue)"
    axes.set_title(f"{allowed(panel.title)}\n{span}", fontsize=9, parse_math=False)


def _small(frames: np.ndarray) -> np.ndarray:
    return resize_short_side(frames, min(_FRAME, *frames.shape[1:3]))


def _dots(axes: "Axes", path: np.ndarray, look: dict) -> None:
    """A dot in each cell, its area in proportion to the probability."""
    from matplotlib.collections import EllipseCollection

    rows, columns = np.nonzero(path > _FAINTEST)
    sizes = _DOT * np.sqrt(np.minimum(path[rows, columns], 1))
    dots = EllipseCollection(
        sizes, sizes, np.zeros_like(sizes), units="xy", zorder=3,
        offsets=np.stack([columns + 0.5, rows + 0.5], -1), offset_transform=axes.transData, **look,
    )  # fmt: skip
    axes.add_collection(dots)


def _frame(axes: "Axes", frame: np.ndarray, left: float, top: float) -> None:
    """A frame in the middle of a cell, in its own proportions."""
    height, width = frame.shape[:2]
    w, h = 0.96 * width / max(height, width), 0.96 * height / max(height, width)
    x, y = left + (1 - w) / 2, top + (1 - h) / 2
    axes.imshow(frame, extent=(x, x + w, y + h, y), zorder=2)
