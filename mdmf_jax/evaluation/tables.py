"""The results of a run as tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mdmf_jax.evaluation.metrics import above_chance


def percent(share: float | None) -> str:
    """A share 0..1 as text, such as "62.3%"; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f}%"


def with_interval(metrics: Mapping[str, Any] | None) -> str:
    """Accuracy and the half-width of its 95% interval, such as "62.3% ± 0.8"."""
    if metrics is None:
        return "-"
    return f"{percent(metrics['accuracy'])} ± {100 * metrics['interval95']:.1f}"


def chance_words(metrics: Mapping[str, Any]) -> str:
    """What guessing would give, such as "20.0%", and in words if the accuracy is not above it."""
    chance = 1 / metrics["way"]
    words = "" if above_chance(metrics, chance) else ": not above chance"
    return percent(chance) + words


def sample_words(metrics: Mapping[str, Any]) -> str:
    """How much was tested, such as "1,000 episodes of 64 videos"."""
    videos = f" of {metrics['videos']:,} videos" if "videos" in metrics else ""
    return f"{metrics['episodes']:,} episodes{videos}"


def results_table(results: Mapping[str, Any]) -> Table:
    """Accuracy on the test classes by task, trained and untrained, and how often the prompt
    that a query was given is that of its class.

    Args:
      results: as in results.json: "test" and perhaps "untrained", metrics by task.
    """
    first = next(iter(results["test"].values()))
    table = Table(title=f"Accuracy on new classes, {sample_words(first)} each")
    for name in ("task", "trained", "untrained", "right prompt", "chance"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for task, metrics in results["test"].items():
        way, shot = metrics["way"], metrics["shot"]
        table.add_row(
            f"{way}-way {shot}-shot",
            with_interval(metrics),
            with_interval(results.get("untrained", {}).get(task)),
            percent(metrics["prompt_accuracy"]),
            chance_words(metrics),
        )
    return table


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Accuracy of each class, best first."""
    table = Table(title="Accuracy by class")
    table.add_column("class")
    table.add_column("accuracy", justify="right")
    for name, share in sorted(metrics["per_class"].items(), key=lambda item: -item[1]):
        table.add_row(escape(name), percent(share))
    return table
