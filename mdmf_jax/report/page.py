"""The page: one HTML file that loads nothing, runs nothing and can be read as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import mdmf_jax
from mdmf_jax.comparison.tables import task_line
from mdmf_jax.evaluation.tables import chance_words, sample_words, with_interval
from mdmf_jax.report import analysis_sections as looked_into
from mdmf_jax.report import comparison_sections as compared
from mdmf_jax.report import evaluation_sections as known
from mdmf_jax.report.analysis import Analysis
from mdmf_jax.report.sources import Evaluation
from mdmf_jax.report.tables import Section
from mdmf_jax.report.templates import render


def evaluation_page(evaluation: Evaluation, analysis: Analysis | None, head: Any = None) -> str:
    """The report of an evaluation.

    Args:
      analysis: its answers looked into; None leaves those parts out.
      head: options of the method, if there is an analysis.
    """
    settings = evaluation.facts["settings"]
    sections = [
        known.accuracy_section(evaluation),
        known.class_section(evaluation),
        *_analysis_sections(analysis, head),
        known.curves_section(evaluation.curves, settings),
        known.facts_section(evaluation.facts),
    ]
    best = next(iter(evaluation.tasks.values()))
    title = f"Evaluation of {settings['method']} on {_data_name(settings)}"
    summary = (
        f"{known.task_words(best)} accuracy on the {evaluation.split} classes: "
        f"{with_interval(best)} (chance {chance_words(best)}) over {sample_words(best)}, seed "
        f"{evaluation.facts['seed']}."
    )
    if evaluation.checkpoint is None:
        summary += " The method was not trained."
    return page_of(title, summary, sections)


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
    sections = [
        compared.overview_section(results),
        compared.pairs_section(results),
        compared.class_differences_section(results),
        *_analysis_sections(analysis, head),
        compared.comparison_facts_section(results),
    ]
    summary = f"{task_line(results)}."
    if analysis is not None:
        summary += f" Confusions, episodes, prompts and views are those of {looked_at}."
    return page_of(f"Comparison of {len(results['entries'])} methods", summary, sections)


def _analysis_sections(analysis: Analysis | None, head: Any) -> list[Section | None]:
    if analysis is None:
        return []
    return [
        looked_into.confusion_section(analysis),
        looked_into.hardest_section(analysis, head),
        looked_into.prompt_section(analysis),
        looked_into.view_section(analysis, getattr(head, "condition", None)),
    ]


def page_of(title: str, summary: str, sections: Sequence[Section | None]) -> str:
    """A page of sections, without those that are None."""
    values = {
        "title": title,
        "summary": summary,
        "sections": [section for section in sections if section is not None],
        "version": mdmf_jax.__version__,
    }
    return render("page.html.jinja", values)


def _data_name(settings: Mapping[str, Any]) -> str:
    data = settings["data"]
    return str(data.get("dataset") or data.get("root") or "videos")
