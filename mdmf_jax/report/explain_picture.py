"""Why a video got its label, as one picture: alignments, posteriors and prompt."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_jax.errors import DataError
from mdmf_jax.files import whole_file
from mdmf_jax.report.panels import STYLE, DrawnPanel, draw_panels, panel_inches, panel_of
from mdmf_jax.report.templates import allowed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPERATURE = 0.1  # of the path drawn for methods that have none, as the OTAM baseline
_COLOURS = {"local": "#1f5fa8", "global": "#1b8a6b", "all": "#8a8a8a"}
_MOST_CLASSES = 12


def explanation_panels(told: Mapping[str, Any], head: Any) -> tuple[list[DrawnPanel], str]:
    """The panels of an explanation, and a line on what they show.

    Args:
      told: what `FewShotClassifier.explain` returns.
      head: options of the method.
    """
    similarity = dict(told["similarity"])
    views = {k: similarity[k] for k in ("local", "global", "plain") if k in similarity}
    aligns = hasattr(head, "temperature") and getattr(head, "matcher", "otam") == "otam"
    options = (head.temperature, head.bidirectional) if aligns else (TEMPERATURE, True)
    if not views:
        panels = [panel_of("frame features", similarity["frames"], *options)]
        return panels, "" if aligns else "The method itself aligns no frames; OTAM would do so."
    panels = []
    for name, cosines in views.items():
        trusted = " (trusted)" if name == told["trusted"] else ""
        title = "without context" if name == "plain" else f"{name} view{trusted}"
        panels.append(panel_of(title, cosines, *options))
    return panels, "" if aligns else "The method compares segments; OTAM would align so."


def draw_explanation(told: Mapping[str, Any], head: Any, title: str, files: list[Path]) -> None:
    """Draws an explanation into files, PNG or SVG by their names.

    Args:
      told, head: see `explanation_panels`.
      title: what the video is called.

    Raises:
      DataError: a file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels, note = explanation_panels(told, head)
    shown = list(told["probabilities"])
    shown.sort(key=lambda name: -told["probabilities"][name])
    shown = shown[:_MOST_CLASSES]
    with matplotlib.rc_context(STYLE):
        width = max(7.0, panel_inches(panels) * len(panels))
        heights = [panel_inches(panels) + 0.75, 0.9 + 0.42 * len(shown)]
        figure = Figure(figsize=(width, sum(heights) + 1.1), layout="constrained")
        figure.suptitle(_heading(told, title, note), fontsize=10, parse_math=False)
        above, below = np.asarray(figure.subfigures(2, 1, height_ratios=heights)).tolist()
        draw_panels(above, panels, told["query_frames"], told["support_frames"])
        _draw_bars(below, told, shown)
        for file in files:
            _save(figure, file)


def _heading(told: Mapping[str, Any], title: str, note: str) -> str:
    share = told["probabilities"][told["label"]]
    lines = [
        f"query: {title}",
        f"nearest class: {told['label']} ({100 * share:.0f}%), shown: {Path(told['source']).name}",
    ]
    if not told["accepted"] and told["score"] >= told["threshold"]:
        lines.append("not recognised better than by chance: unknown")
    elif not told["accepted"]:
        lines.append(
            f"score {told['score']:.3f} below the threshold {told['threshold']:.3f}: unknown"
        )
    if told["trusted"]:
        lines.append("The views compare the query with the mean of the class's videos.")
    lines += [note] if note else []
    return "\n".join(textwrap.shorten(allowed(line), 110, placeholder="…") for line in lines)


def _draw_bars(figure: "Figure", told: Mapping[str, Any], shown: list[str]) -> None:
    groups = {"all": told["probabilities"]}
    views = {k: told["posteriors"][k] for k in ("local", "global") if k in told["posteriors"]}
    groups |= views if len(views) > 1 else {}
    columns = 2 if told["prompt"] else 1
    axes = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    _bars(axes[0], groups, shown)
    axes[0].set_title("posterior of the classes", fontsize=9)
    if told["prompt"]:
        _bars(axes[1], {"prompt": told["prompt"]["probabilities"]}, shown)
        chosen = textwrap.shorten(allowed(told["prompt"]["choice"]), 40, placeholder="…")
        axes[1].set_title(f"prompt by PPS:\n{chosen}", fontsize=9, parse_math=False)


def _bars(axes: "Axes", groups: Mapping[str, Mapping[str, float]], shown: list[str]) -> None:
    thickness = 0.8 / len(groups)
    for place, (name, shares) in enumerate(groups.items()):
        rows = np.arange(len(shown)) - 0.4 + (place + 0.5) * thickness
        values = [shares[label] for label in shown]
        label = f"{name} view" if name in ("local", "global") else "both views together"
        axes.barh(rows, values, 0.92 * thickness, color=_COLOURS.get(name, "#8a5a00"), label=label)
    names = [textwrap.shorten(allowed(label), 34, placeholder="…") for label in shown]
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        axes.legend(fontsize=8, frameon=False, loc="lower right")


def _save(figure: "Figure", file: Path) -> None:
    # Without a date the same explanation gives the same file.
    metadata = {"Date": None} if file.suffix == ".svg" else None
    with whole_file(file, DataError, "give another --out") as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:], metadata=metadata)
