"""The parts of a page that an evaluation fills from its own numbers."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.evaluation.tables import percent, with_interval
from mdmf_jax.report import markup
from mdmf_jax.report.charts import barred, line_chart, short
from mdmf_jax.report.events import Curve
from mdmf_jax.report.markup import Markup, tag
from mdmf_jax.report.sources import Evaluation
from mdmf_jax.report.tables import section, settings_list, table

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
    "train/episodes_per_second": "episodes a second",
}


def task_words(metrics: Mapping[str, Any]) -> str:
    """Such as "5-way 1-shot"."""
    return f"{metrics['way']}-way {metrics['shot']}-shot"


def accuracy_section(evaluation: Evaluation) -> Markup:
    """Accuracy with its interval for every task."""
    tiles = [
        tag("li", task_words(m), tag("strong", with_interval(m)), f"{m['episodes']:,} episodes")
        for m in evaluation.tasks.values()
    ]
    rows = []
    for name, m in evaluation.tasks.items():
        cells = [task_words(m), with_interval(m), percent(1 / m["way"])]
        if evaluation.untrained:
            cells.append(with_interval(evaluation.untrained.get(name)))
        rows.append([*cells, percent(m.get("prompt_accuracy")), f"{m['episodes']:,}"])
    headers = ["task", "accuracy", "chance"]
    headers += ["untrained head"] if evaluation.untrained else []
    headers += ["right prompt", "episodes"]
    return section(
        "accuracy",
        "Accuracy",
        tag("ul", tiles, class_="figures"),
        table(f"Accuracy on the {evaluation.part} classes", headers, rows),
        tag(
            "p",
            "Intervals are 95% intervals of the mean over episodes drawn from the videos there "
            "are. They do not say how far another training, or other videos, would lead.",
            class_="note",
        ),
    )


def class_section(evaluation: Evaluation) -> Markup:
    """Accuracy of each class, the lowest first, for every task."""
    parts = []
    for number, metrics in enumerate(evaluation.tasks.values()):
        shares = sorted(metrics["per_class"].items(), key=lambda item: item[1])
        rows = [[markup.name(label), barred(share)] for label, share in shares]
        caption = f"{task_words(metrics)}: share of right answers, lowest first"
        written = table(caption, ["class", "accuracy"], rows)
        if number:
            written = tag("details", tag("summary", task_words(metrics)), written)
        parts.append(written)
    return section("classes", "Classes", parts)


def curves_section(curves: Mapping[str, Curve]) -> Markup | None:
    """Charts of the training; None without any."""
    drawn = []
    for name in [*_CURVES, *sorted(curves.keys() - _CURVES.keys() - _HIDDEN)]:
        points = curves.get(name)
        if not points or len(points) < 2:
            continue
        title = _CURVES.get(name, name.replace("_", " "))
        kept = points[:: -(-len(points) // _MOST_POINTS)]
        kept = kept if kept[-1] == points[-1] else [*kept, points[-1]]
        finite = [point for point in kept if point[1] - point[1] == 0]
        if len(finite) < 2 or all(value == finite[0][1] for _, value in finite):
            continue  # a line that says nothing
        step, last = finite[-1]
        words = f"{title}: {short(last)} at step {step:,}"
        caption = tag("figcaption", words)
        drawn.append(tag("figure", line_chart(finite, words), caption, class_="card"))
    if not drawn:
        return None
    return section("training", "Training", tag("div", drawn, class_="charts"))


def facts_section(facts: Mapping[str, Any]) -> Markup:
    """Seed, versions, hardware, times, and all settings."""
    rows = [("seed", facts.get("seed"))]
    rows += settings_list(dict(facts["versions"]), "version of ")
    rows += settings_list(dict(facts["hardware"]), "hardware: ")
    rows += settings_list(dict(facts.get("seconds") or {}), "seconds: ")
    rows += settings_list(dict(facts.get("validation") or {}), "chosen checkpoint: ")
    parts = [_pairs("Seed, versions and hardware", rows)]
    if facts.get("settings"):
        listed = _pairs("All settings", settings_list(dict(facts["settings"])))
        parts.append(tag("details", tag("summary", "All settings"), listed))
    return section("settings", "Settings, versions, hardware", parts)


def _pairs(caption: str, rows) -> Markup:
    named = [(markup.name(k), markup.name(v)) for k, v in rows]
    return table(caption, ["name", "value"], named, class_="pairs")
