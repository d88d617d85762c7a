"""The parts of a page that show answers looked into: confusions, hardest episodes, PPS, views."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.evaluation.tables import percent
from mdmf_jax.report.analysis import Analysis, Clip, HardEpisode, Mistake
from mdmf_jax.report.charts import bar
from mdmf_jax.report.explain_picture import explanation_panels
from mdmf_jax.report.panels import alignment_svg
from mdmf_jax.report.strips import data_address, frame_strip
from mdmf_jax.report.tables import Cell, Section, Table, name, table


def confusion_section(analysis: Analysis) -> Section:
    """The confusion matrix, and examples that its cells lead to."""
    task, count = analysis.task, len(analysis.mistakes)
    most = "most frequent confusion" if count == 1 else f"{count} most frequent confusions"
    data = {
        "task": f"{task['episodes']:,} episodes ({task['way']}-way {task['shot']}-shot)",
        "accuracy": percent(analysis.metrics["accuracy"]),
        "matrix": _matrix(analysis),
        "examples": [_example(analysis, mistake) for mistake in analysis.mistakes],
        "examples_title": f"Examples of the {most}" if count > 1 else f"Example of the {most}",
    }
    return Section("confusion", "Confusions", "Confusions", "confusion.html.jinja", data)


def _matrix(analysis: Analysis) -> list[dict[str, Any]]:
    """The rows of the classes that were asked for or answered."""
    counts = analysis.confusion
    used = [n for n in range(len(counts)) if counts[n].sum() or counts[:, n].sum()]
    examples = {(m.true, m.taken) for m in analysis.mistakes}
    rows = []
    for n in used:
        shares = counts[n] / max(int(counts[n].sum()), 1)
        cells = [_matrix_cell(analysis, n, m, shares[m], (n, m) in examples) for m in used]
        rows.append({"name": analysis.names[n], "cells": cells})
    return rows


def _matrix_cell(
    analysis: Analysis, true: int, taken: int, share: float, linked: bool
) -> dict[str, Any]:
    text = f"{100 * share:.0f}" if share else ""
    names = analysis.names
    return {
        "text": text,
        "depth": share**0.5,
        "right": true == taken,
        "example": _example_id(true, taken) if linked else "",
        "label": f"{text}% of {names[true]} taken for {names[taken]}: example",
    }


def _example_id(true: int, taken: int) -> str:
    return f"mistake-{true}-{taken}"


def _example(analysis: Analysis, mistake: Mistake) -> dict[str, Any]:
    count = int(analysis.confusion[mistake.true, mistake.taken])
    support = "support of the class it was taken for"
    return {
        "identifier": _example_id(mistake.true, mistake.taken),
        "true": analysis.names[mistake.true],
        "taken": analysis.names[mistake.taken],
        "strips": [_strip(mistake.query, "query"), _strip(mistake.support, support)],
        "count": "1 query" if count == 1 else f"{count:,} queries",
    }


def _strip(clip: Clip, role: str) -> dict[str, str]:
    return {"role": role, "name": clip.name, "address": frame_strip(clip.frames)}


def hardest_section(analysis: Analysis, head: Any) -> Section:
    """The episodes with the most wrong answers, one query of each with its alignments."""
    episodes = [_hard_episode(analysis, episode, head) for episode in analysis.hardest]
    title = "Hardest episodes"
    return Section("hardest", title, title, "hardest.html.jinja", {"episodes": episodes})


def _hard_episode(analysis: Analysis, episode: HardEpisode, head: Any) -> dict[str, Any]:
    names = [analysis.names[n] for n in episode.classes]
    right = sum(query.label == query.answer for query in episode.queries)
    worst, asked = episode.queries[episode.worst], episode.query
    shown = (
        ("the class it was taken for", worst.answer, episode.taken),
        ("its own class", worst.label, episode.true),
    )
    return {
        "title": f"Episode {episode.number}: {right} of {len(episode.queries)} queries right",
        "table": _query_table(episode, names),
        "alignments": [
            _alignment(worst, place, words, clip, asked, head, names)
            for words, place, clip in shown
        ],
    }


def _query_table(episode: HardEpisode, names: list[str]) -> Table:
    worst = episode.queries[episode.worst]
    headers = ["class of the query", "answer"]
    headers += [] if worst.prompt is None else ["prompt"]
    headers += ["trusted view"] if worst.trusted else []
    headers += [f"{view} view: own class / answer" for view in worst.posteriors]
    rows = [_query_row(query, names) for query in episode.queries]
    return table(f"Queries of episode {episode.number}", headers, rows, "queries")


def _query_row(query, names: list[str]) -> list[Cell | str]:
    row: list[Cell | str] = [name(names[query.label])]
    row.append(name(names[query.answer], wrong=query.answer != query.label))
    if query.prompt is not None:
        row.append(name(names[query.prompt], note=f" ({percent(query.prompt_probability)})"))
    row += [query.trusted] if query.trusted else []
    shares = query.posteriors.values()
    return row + [f"{percent(own)} / {percent(answer)}" for own, answer in shares]


def _alignment(query, place, words, clip, asked, head, names) -> dict[str, Any]:
    told = {"similarity": {k: v[place] for k, v in query.similarity.items()}}
    panels, note = explanation_panels(told | {"trusted": query.trusted}, head)
    title = f"Query of {names[query.label]} with {words}, {names[place]}"
    drawn = [
        {
            "address": data_address(
                alignment_svg(panel, asked.frames, clip.frames), "image/svg+xml"
            ),
            "alt": f"{title}, {panel.title}: similarity and alignment of {asked.name} "
            f"and {clip.name}",
        }
        for panel in panels
    ]
    return {"panels": drawn, "words": words, "name": names[place], "note": note}


def prompt_section(analysis: Analysis) -> Section | None:
    """How often PPS found the right text; None for methods without it."""
    found = analysis.prompts
    if found is None:
        return None
    rows = [
        ["queries given the text of their own class", bar(found["right"])],
        ["the same by chance", bar(found["chance"])],
    ]
    for key, words in (("accuracy_right", "the right"), ("accuracy_wrong", "a wrong")):
        if found[key] is not None:
            rows.append([f"accuracy of queries with {words} text", bar(found[key])])
    classes = sorted(found["per_class"].items(), key=lambda item: item[1])
    by_class = [[name(label), bar(share)] for label, share in classes]
    caption = "Share of right prompts, lowest first"
    folded = [("By class", table(caption, ["class", "right prompt"], by_class))]
    tables = [table("Prompts of the queries", ["figure", "share"], rows)]
    data = {"tables": tables, "folded": folded, "note": ""}
    return Section("prompts", "Prompts", "Prompts (PPS)", "tables.html.jinja", data)


def view_section(analysis: Analysis, condition: str | None) -> Section | None:
    """How the local and the global view got along; None for methods without views."""
    found = analysis.views
    if found is None:
        return None
    written = [[words, bar(share)] for words, share in _view_shares(found)]
    caption = f"Views on {found['queries']:,} queries"
    note = (
        "Trusted is the view whose largest visual posterior is the higher one. A view would "
        f"teach the other by the training's own condition ({condition})."
    )
    tables = [table(caption, ["figure", "share"], written)]
    data = {"tables": tables, "folded": [], "note": note}
    return Section("views", "Views", "Views and distillation", "tables.html.jinja", data)


def _view_shares(found: Mapping[str, Any]) -> list[tuple[str, float]]:
    rows = [("both views give the same answer", found["agreement"])]
    rows += [(f"accuracy of the {view} view alone", x) for view, x in found["alone"].items()]
    rows.append(("accuracy of the view that is trusted", found["trusted_accuracy"]))
    rows += [(f"the {view} view is trusted", x) for view, x in found["trusted"].items()]
    return rows + [
        ("no view would teach" if view == "neither" else f"the {view} view would teach", x)
        for view, x in found["teachers"].items()
    ]
