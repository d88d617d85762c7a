"""The parts of a page that show answers looked into: confusions, hardest episodes, PPS, views."""

from typing import Any

from mdmf_jax.evaluation.tables import percent
from mdmf_jax.report import markup
from mdmf_jax.report.analysis import Analysis, Clip, HardEpisode, Mistake
from mdmf_jax.report.charts import barred
from mdmf_jax.report.explain_picture import explanation_panels
from mdmf_jax.report.markup import Markup, tag
from mdmf_jax.report.panels import alignment_svg
from mdmf_jax.report.strips import data_address, frame_strip
from mdmf_jax.report.tables import scrolling, section, table


def confusion_section(analysis: Analysis) -> Markup:
    """The confusion matrix, and examples that its cells lead to."""
    examples = {(m.true, m.taken) for m in analysis.mistakes}
    matrix = _matrix(analysis, examples)
    cards = [_mistake_card(analysis, mistake) for mistake in analysis.mistakes]
    parts = [
        tag(
            "p",
            f"Answers to the queries of {analysis.task['episodes']:,} episodes "
            f"({analysis.task['way']}-way {analysis.task['shot']}-shot), which were answered "
            f"again for this page: {percent(analysis.metrics['accuracy'])} are right. Numbers "
            "are percentages of a class's queries. An underlined cell leads to an example.",
        ),
        matrix,
    ]
    if cards:
        parts.append(tag("h3", f"Examples of the {len(cards)} most frequent confusions"))
        parts.append(tag("div", cards, class_="cards"))
    return section("confusion", "Confusions", parts)


def _matrix(analysis: Analysis, examples: set[tuple[int, int]]) -> Markup:
    counts = analysis.confusion
    used = [n for n in range(len(counts)) if counts[n].sum() or counts[:, n].sum()]
    columns = [
        tag("th", tag("abbr", number, title=analysis.names[n]), scope="col")
        for number, n in enumerate(used, 1)
    ]
    rows = []
    for number, n in enumerate(used, 1):
        total = max(int(counts[n].sum()), 1)
        cells = [_cell(analysis, n, m, counts[n, m] / total, (n, m) in examples) for m in used]
        head = tag("th", f"{number} ", markup.name(analysis.names[n]), scope="row")
        rows.append(tag("tr", head, cells))
    caption = "Classes (rows) and what their queries were taken for (columns, by number), in %"
    head = tag("tr", tag("th", "class", scope="col"), columns)
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", rows))
    return scrolling(Markup(whole.replace("<table>", '<table class="matrix">', 1)), caption)


def _cell(analysis: Analysis, true: int, taken: int, share: float, linked: bool) -> Markup:
    words: Any = f"{100 * share:.0f}" if share else ""
    if linked:
        label = f"{words}% of {analysis.names[true]} taken for {analysis.names[taken]}: example"
        words = tag("a", words, href=f"#mistake-{true}-{taken}", aria_label=label)
    class_ = "right" if true == taken else None
    return tag("td", words, class_=class_, style=f"--s:{share**0.5:.2f}" if share else None)


def _mistake_card(analysis: Analysis, mistake: Mistake) -> Markup:
    true, taken = (markup.name(analysis.names[n]) for n in (mistake.true, mistake.taken))
    count = int(analysis.confusion[mistake.true, mistake.taken])
    back = tag("a", "Back to the matrix", href="#confusion")
    queries = "1 query" if count == 1 else f"{count:,} queries"
    return tag(
        "article",
        tag("h4", true, " taken for ", taken),
        _strip(mistake.query, "query"),
        _strip(mistake.support, "support of the class it was taken for"),
        tag("p", f"Answered so: {queries}. ", back, class_="small"),
        id=f"mistake-{mistake.true}-{mistake.taken}",
        tabindex=-1,
        class_="card",
    )


def _strip(clip: Clip, role: str) -> Markup:
    words = f"{role}: {clip.name}"
    picture = tag("img", src=frame_strip(clip.frames), alt=f"Frames of the {words}")
    return tag("figure", picture, tag("figcaption", f"{role}: ", markup.name(clip.name)))


def hardest_section(analysis: Analysis, head: Any) -> Markup:
    """The episodes with the most wrong answers, one query of each with its alignments."""
    if not analysis.hardest:
        return section("hardest", "Hardest episodes", tag("p", "Every query was answered rightly."))
    return section(
        "hardest",
        "Hardest episodes",
        tag(
            "p",
            "The episodes with the fewest right answers. Of each, the query that was furthest "
            "from right is aligned with the class it was taken for and with its own class. Rows "
            "are the frames of the query, columns those of the class; dots show where the soft "
            "alignment passes, their area is the probability. Where a class has several videos "
            "its first is shown, and the views compare with the mean of all.",
        ),
        [_hard_card(analysis, episode, head) for episode in analysis.hardest],
    )


def _hard_card(analysis: Analysis, episode: HardEpisode, head: Any) -> Markup:
    names = [analysis.names[n] for n in episode.classes]
    right = sum(query.label == query.answer for query in episode.queries)
    rows = [_query_row(query, names) for query in episode.queries]
    worst = episode.queries[episode.worst]
    title = f"Episode {episode.number}: {right} of {len(rows)} queries right"
    headers = ["class of the query", "answer"]
    headers += [] if worst.prompt is None else ["prompt"]
    headers += ["trusted view"] if worst.trusted else []
    headers += [f"{view} view: own class / answer" for view in worst.posteriors]
    drawings = [
        _alignment(worst, place, words, clip, episode.query, head, names)
        for words, place, clip in (
            ("the class it was taken for", worst.answer, episode.taken),
            ("its own class", worst.label, episode.true),
        )
    ]
    return tag(
        "article",
        tag("h3", title),
        table(f"Queries of episode {episode.number}", headers, rows, class_="queries"),
        tag("div", drawings, class_="cards"),
        class_="card wide",
    )


def _query_row(query, names: list[str]) -> list[Any]:
    wrong = None if query.answer == query.label else "wrong"
    row = [markup.name(names[query.label])]
    row.append(tag("span", markup.name(names[query.answer]), class_=wrong))
    if query.prompt is not None:
        row.append([markup.name(names[query.prompt]), f" ({percent(query.prompt_probability)})"])
    row += [query.trusted] if query.trusted else []
    shares = query.posteriors.values()
    return row + [f"{percent(own)} / {percent(answer)}" for own, answer in shares]


def _alignment(query, place, words, clip, asked, head, names) -> Markup:
    told = {"similarity": {k: v[place] for k, v in query.similarity.items()}}
    panels, note = explanation_panels(told | {"trusted": query.trusted}, head)
    title = f"Query of {names[query.label]} with {words}, {names[place]}"
    drawings = [
        tag(
            "img",
            src=data_address(alignment_svg(panel, asked.frames, clip.frames), "image/svg+xml"),
            alt=f"{title}, {panel.title}: similarity and alignment of {asked.name} and {clip.name}",
            class_="drawing",
        )
        for panel in panels
    ]
    caption = [f"{words}: ", markup.name(names[place]), f". {note}" if note else None]
    return tag("figure", tag("div", drawings, class_="panels"), tag("figcaption", caption))


def prompt_section(analysis: Analysis) -> Markup | None:
    """How often PPS found the right text; None for methods without it."""
    found = analysis.prompts
    if found is None:
        return None
    rows = [
        ["queries given the text of their own class", barred(found["right"])],
        ["the same by chance", barred(found["chance"])],
    ]
    for key, words in (("accuracy_right", "the right"), ("accuracy_wrong", "a wrong")):
        if found[key] is not None:
            line = f"accuracy of queries with {words} text"
            rows.append([line, barred(found[key])])
    classes = sorted(found["per_class"].items(), key=lambda item: item[1])
    by_class = [[markup.name(label), barred(share)] for label, share in classes]
    headers = ["class", "right prompt"]
    return section(
        "prompts",
        "Prompts (PPS)",
        table("Prompts of the queries", ["figure", "share"], rows),
        tag(
            "details",
            tag("summary", "By class"),
            table("Share of right prompts, lowest first", headers, by_class),
        ),
    )


def view_section(analysis: Analysis, condition: str | None) -> Markup | None:
    """How the local and the global view got along; None for methods without views."""
    found = analysis.views
    if found is None:
        return None
    rows = [["both views give the same answer", found["agreement"]]]
    rows += [[f"accuracy of the {view} view alone", x] for view, x in found["alone"].items()]
    rows.append(["accuracy of the view that is trusted", found["trusted_accuracy"]])
    rows += [[f"the {view} view is trusted", x] for view, x in found["trusted"].items()]
    rows += [
        ["no view would teach" if view == "neither" else f"the {view} view would teach", x]
        for view, x in found["teachers"].items()
    ]
    written = [[words, barred(share)] for words, share in rows]
    return section(
        "views",
        "Views and distillation",
        table(f"Views on {found['queries']:,} queries", ["figure", "share"], written),
        tag(
            "p",
            "Trusted is the view whose largest visual posterior is the higher one. A view would "
            f"teach the other by the training's own condition ({condition}).",
            class_="note",
        ),
    )
