"""The page: one HTML file that loads nothing, runs nothing and can be read as it is."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import mdmf_jax
from mdmf_jax.comparison.tables import task_line
from mdmf_jax.evaluation.tables import with_interval
from mdmf_jax.report import analysis_sections as looked_into
from mdmf_jax.report import comparison_sections as compared
from mdmf_jax.report import evaluation_sections as known
from mdmf_jax.report.analysis import Analysis
from mdmf_jax.report.markup import Markup, join, tag
from mdmf_jax.report.sources import Evaluation

# A browser that obeys this loads nothing from anywhere and runs no script.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"

_TITLES = {
    "overview": "Overview",
    "pairs": "Order pairs",
    "accuracy": "Accuracy",
    "classes": "Classes",
    "confusion": "Confusions",
    "hardest": "Hardest episodes",
    "prompts": "Prompts",
    "views": "Views",
    "training": "Training",
    "settings": "Settings",
}


def evaluation_page(evaluation: Evaluation, analysis: Analysis | None, head: Any = None) -> str:
    """The report of an evaluation.

    Args:
      analysis: its answers looked into; None leaves those parts out.
      head: options of the method, if there is an analysis.
    """
    settings = evaluation.facts["settings"]
    parts: dict[str, Markup | None] = {
        "accuracy": known.accuracy_section(evaluation),
        "classes": known.class_section(evaluation),
        **_analysis_parts(analysis, head),
        "training": known.curves_section(evaluation.curves),
        "settings": known.facts_section(evaluation.facts),
    }
    best = next(iter(evaluation.tasks.values()))
    title = f"Evaluation of {settings['method']} on {_data_name(settings)}"
    summary = (
        f"{known.task_words(best)} accuracy on the {evaluation.part} classes: "
        f"{with_interval(best)} over {best['episodes']:,} episodes, seed "
        f"{evaluation.facts['seed']}."
    )
    if evaluation.checkpoint is None:
        summary += " The method was not trained."
    return _page(title, summary, parts)


def comparison_page(
    results: Mapping[str, Any],
    looked_at: str | None = None,
    analysis: Analysis | None = None,
    head: Any = None,
) -> str:
    """The report of a comparison.

    Args:
      results: what compare.json holds.
      looked_at: name of the entry that the analysis is of.
      analysis, head: see `evaluation_page`.
    """
    parts = {
        "overview": compared.overview_section(results),
        "pairs": compared.pairs_section(results),
        "classes": compared.class_differences_section(results),
        **_analysis_parts(analysis, head),
        "settings": compared.comparison_facts_section(results),
    }
    summary = f"{task_line(results)}."
    if analysis is not None:
        summary += f" Confusions, episodes, prompts and views are those of {looked_at}."
    return _page(f"Comparison of {len(results['entries'])} methods", summary, parts)


def _analysis_parts(analysis: Analysis | None, head: Any) -> dict[str, Markup | None]:
    if analysis is None:
        return {}
    return {
        "confusion": looked_into.confusion_section(analysis),
        "hardest": looked_into.hardest_section(analysis, head),
        "prompts": looked_into.prompt_section(analysis),
        "views": looked_into.view_section(analysis, getattr(head, "condition", None)),
    }


def _page(title: str, summary: str, parts: Mapping[str, Markup | None]) -> str:
    parts = {name: part for name, part in parts.items() if part is not None}
    links = [tag("li", tag("a", _TITLES[name], href=f"#{name}")) for name in parts]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(_style())),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag("header", tag("h1", title), tag("p", summary)),
        tag("nav", tag("ul", links), aria_label="Parts of this page"),
        tag("main", list(parts.values()), id="content"),
        tag("footer", tag("p", f"Written by mdmf_jax {mdmf_jax.__version__}.")),
    )
    return join(Markup("<!DOCTYPE html>\n"), tag("html", head, body, lang="en")) + "\n"


@cache
def _style() -> str:
    file = resources.files("mdmf_jax") / "assets" / "report" / "report.css"
    return file.read_text(encoding="utf-8")


def _data_name(settings: Mapping[str, Any]) -> str:
    data = settings["data"]
    return str(data.get("dataset") or data.get("root") or "videos")
