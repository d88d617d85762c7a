"""The parts of a page that an evaluation fills from its own numbers."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from mdmf_jax.evaluation.tables import chance_words, percent, sample_words, with_interval
from mdmf_jax.report.charts import LineChart, bar, line_chart, short
from mdmf_jax.report.events import Curve
from mdmf_jax.report.sources import Evaluation
from mdmf_jax.report.tables import Section, name, pairs, settings_list, table

_MOST_POINTS = 400
# In this order; what a run wrote besides comes after them, but not these.
_HIDDEN = {"train/updated", "train/skipped", "validation/interval95"}
_CURVES = {
    "train/loss": "training loss",
    "train/accuracy": "training accuracy",
    "validation/accuracy": "validation accuracy",
    "train/prompt_accuracy": "training: right prompts",
    "validation/prompt_accuracy": "validation: right prompts",
    "train/cross_entropy": "cross entropy",
    "train/class": "class loss",
    "train/distillation": "distillation loss",
    "train/gradient_norm": "gradient norm",
    "train/parameter_norm": "parameter norm",
    "train/episodes_per_second": "episodes a second",
}


def task_words(metrics: Mapping[str, Any]) -> str:
    """Such as "5-way 1-shot"."""
    return f"{metrics['way']}-way {metrics['shot']}-shot"


def accuracy_section(evaluation: Evaluation) -> Section:
    """Accuracy with its interval for every task."""
    tiles = [
        (task_words(m), with_interval(m), f"{sample_words(m)}; chance {chance_words(m)}")
        for m in evaluation.tasks.values()
    ]
    rows = []
    for task, m in evaluation.tasks.items():
        cells = [task_words(m), with_interval(m), chance_words(m)]
        if evaluation.untrained:
            cells.append(with_interval(evaluation.untrained.get(task)))
        rows.append([*cells, percent(m.get("prompt_accuracy")), f"{m['episodes']:,}", _videos(m)])
    headers = ["task", "accuracy", "chance"]
    headers += ["untrained head"] if evaluation.untrained else []
    headers += ["right prompt", "episodes", "videos"]
    caption = f"Accuracy on the {evaluation.split} classes"
    data = {"tiles": tiles, "table": table(caption, headers, rows, "stacked")}
    return Section("accuracy", "Accuracy", "Accuracy", "accuracy.html.jinja", data)


def _videos(metrics: Mapping[str, Any]) -> str:
    return f"{metrics['videos']:,}" if "videos" in metrics else "-"


def class_section(evaluation: Evaluation) -> Section:
    """Accuracy of each class, the lowest first, for every task."""
    written = []
    for metrics in evaluation.tasks.values():
        shares = sorted(metrics["per_class"].items(), key=lambda item: item[1])
        rows = [[name(label), bar(share)] for label, share in shares]
        caption = f"{task_words(metrics)}: share of right answers, lowest first"
        written.append((task_words(metrics), table(caption, ["class", "accuracy"], rows)))
    data = {"tables": [written[0][1]], "folded": written[1:], "note": ""}
    return Section("classes", "Classes", "Classes", "tables.html.jinja", data)


def curves_section(curves: Mapping[str, Curve], settings: Mapping[str, Any]) -> Section | None:
    """Charts of the training; None without any.

    Args:
      settings: of the run, as they are stored.
    """
    ways = {"train": settings["episode"]["way"], "validation": settings["eval"]["way"]}
    names = [*_CURVES, *sorted(curves.keys() - _CURVES.keys() - _HIDDEN)]
    charts = []
    for curve in filter(curves.__contains__, names):
        kind, _, shown = curve.partition("/")
        chance = 1 / ways[kind] if shown.endswith("accuracy") else None
        charts.append(_chart(curve, curves[curve], chance))
    drawn = [chart for chart in charts if chart is not None]
    if not drawn:
        return None
    return Section("training", "Training", "Training", "training.html.jinja", {"charts": drawn})


def _chart(curve: str, points: Curve, chance: float | None) -> LineChart | None:
    """A chart of at most about 400 of the points; None of a line that says nothing."""
    kept = points[:: -(-len(points) // _MOST_POINTS) or 1]
    kept = kept if kept[-1:] == points[-1:] else [*kept, points[-1]]
    finite = [point for point in kept if math.isfinite(point[1])]
    if len(finite) < 2 or all(value == finite[0][1] for _, value in finite):
        return None
    title = _CURVES.get(curve, curve.replace("_", " "))
    step, last = finite[-1]
    axis = textwrap.shorten(title, 28, placeholder="…")
    label = f"{title}: {short(last)} at step {step:,}"
    return line_chart(finite, label + (f", chance {chance:.2f}" if chance else ""), axis, chance)


def facts_section(facts: Mapping[str, Any]) -> Section:
    """Seed, versions, hardware, times, and all settings."""
    rows = [("seed", facts.get("seed"))]
    rows += settings_list(facts["versions"], "version of ")
    rows += settings_list(facts["hardware"], "hardware: ")
    rows += settings_list(facts.get("seconds") or {}, "seconds: ")
    rows += settings_list(facts.get("validation") or {}, "chosen checkpoint: ")
    settings, folded = facts.get("settings"), []
    if settings:
        folded = [("All settings", pairs("All settings", settings_list(settings)))]
    data = {"tables": [pairs("Seed, versions and hardware", rows)], "folded": folded, "note": ""}
    title = "Settings, versions, hardware"
    return Section("settings", "Settings", title, "tables.html.jinja", data)
