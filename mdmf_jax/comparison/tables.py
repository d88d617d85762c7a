"""A comparison of methods as a table on screen, as Markdown and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from mdmf_jax.comparison import seeds
from mdmf_jax.evaluation.metrics import above_chance
from mdmf_jax.evaluation.tables import percent, with_interval

Rows = tuple[list[str], list[list[str]]]  # headers, rows

_PAIR_CHANCE = 0.5  # order pairs are 2-way

# Headers of two lines, so that a table fits into a narrow window.
_BROKEN = (" to ", " (", " trained", " episodes")

_INTERVALS = (
    "Intervals are 95% intervals over the episodes, which were drawn from the videos and classes "
    "there are. They do not say how far another training, or other videos, would lead. The "
    "difference is taken episode by episode, so its interval is that of a paired comparison."
)
_TIMES = (
    "Seconds are those of answering the episodes when the features of the videos are known and the "
    "program is compiled."
)


def signed(difference: Mapping[str, float]) -> str:
    """A difference and the half-width of its interval in percentage points: "+1.2 ± 0.4"."""
    return f"{100 * difference['mean']:+.1f} ± {100 * difference['interval95']:.1f}"


def judged(metrics: Mapping[str, Any], chance: float) -> str:
    """Accuracy and its interval, and in words if it is not above chance."""
    above = above_chance(metrics, chance)
    return with_interval(metrics) + ("" if above else ", not above chance")


def notes(results: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of the figures."""
    if several_seeds(results):
        return [seeds.NOTE, _INTERVALS, _TIMES]
    return [_INTERVALS, f"Each method was trained with one seed. {_TIMES}"]


def overview(results: Mapping[str, Any], with_pairs: bool = True) -> Rows:
    """One row for each method.

    Args:
      results: what compare.json holds.
      with_pairs: a column for the accuracy on order pairs, if they were asked for.
    """
    entries, pairs = results["entries"], results["pairs"] and with_pairs
    chance = 1 / results["task"]["way"]
    headers = ["method", f"accuracy (chance {percent(chance)})"]
    headers += [f"difference to {entries[0]['name']}"]
    headers += [f"order pairs (chance {percent(_PAIR_CHANCE)})"] if pairs else []
    headers += ["trained", "parameters trained", "s / 1,000 episodes"]
    rows = []
    for entry in entries:
        row = [entry["name"], judged(entry, chance), _or_first(entry, entries[0], "difference")]
        row += [judged(entry["pairs"], _PAIR_CHANCE)] if pairs else []
        row += [entry["trained"], f"{entry['parameters']:,}", f"{entry['seconds_per_1000']:.2f}"]
        rows.append(row)
    return headers, rows


def pair_rows(results: Mapping[str, Any]) -> Rows:
    """One row for each method: 2-way episodes of two classes that differ in order only."""
    entries = results["entries"]
    headers = [
        "method",
        f"accuracy (chance {percent(_PAIR_CHANCE)})",
        f"difference to {entries[0]['name']}",
    ]
    baseline = results["pairs"]["baseline"]
    baseline = None if baseline == entries[0]["name"] else baseline
    headers += [f"difference to {baseline}"] if baseline else []
    rows = []
    for entry in entries:
        metrics, first = entry["pairs"], entries[0]["pairs"]
        row = [
            entry["name"],
            judged(metrics, _PAIR_CHANCE),
            _or_first(metrics, first, "difference"),
        ]
        if baseline:
            same = entry["name"] == baseline
            row.append("-" if same else signed(metrics["baseline_difference"]))
        rows.append(row)
    return headers, rows


def class_rows(results: Mapping[str, Any]) -> Rows:
    """One row for each class: accuracy of the first method, differences of the others to it."""
    first, *others = results["entries"]
    headers = ["class", first["name"], *(entry["name"] for entry in others)]
    rows = []
    for name, share in first["per_class"].items():
        differences = [signed(entry["class_difference"][name]) for entry in others]
        rows.append([name, percent(share), *differences])
    return headers, rows


def screen_tables(results: Mapping[str, Any]) -> list[Table]:
    """The overview, and the order pairs if they were asked for."""
    first = results["entries"][0]["name"]
    if several_seeds(results):
        return [screen_table(seed_rows(results), task_line(results))]
    tables = [screen_table(overview(results, with_pairs=False), task_line(results), first)]
    if results["pairs"]:
        tables.append(screen_table(pair_rows(results), pair_line(results), first))
    return tables


def several_seeds(results: Mapping[str, Any]) -> bool:
    """Whether every method was trained with several seeds."""
    return bool(results["entries"][0].get("group"))


def seed_rows(results: Mapping[str, Any]) -> Rows:
    """One row for each method, over its seeds."""
    return seeds.seed_rows(results["entries"], 1 / results["task"]["way"])


def task_line(results: Mapping[str, Any]) -> str:
    """What was evaluated, in one line."""
    task = results["task"]
    return (
        f"{task['way']}-way {task['shot']}-shot, {_count(task['queries'], 'query', 'queries')} "
        "a class, "
        f"{task['episodes']:,} episodes of the {results['classes']} {task['split']} classes "
        f"({results['videos']:,} videos), "
        f"seed {task['seed']}"
    )


def pair_line(results: Mapping[str, Any]) -> str:
    """What the order pairs are, in one line."""
    pairs = results["pairs"]
    return (
        f"Order pairs: {pairs['episodes']:,} 2-way {results['task']['shot']}-shot episodes of "
        f"{_count(len(pairs['classes']), 'pair', 'pairs')} of classes that differ in order only"
    )


def markdown(results: Mapping[str, Any], figure: str | None = None) -> str:
    """The whole comparison as Markdown.

    Args:
      figure: address of the forest plot, as seen from the file.
    """
    parts = [f"{task_line(results)}."]
    if several_seeds(results):
        parts += [markdown_table(seed_rows(results)), "Every seed by itself:"]
    parts.append(markdown_table(overview(results)))
    if figure:
        parts.append(f"![Accuracy and paired difference of every method]({figure})")
    if results["pairs"]:
        pairs = [" / ".join(map(markdown_cell, pair)) for pair in results["pairs"]["classes"]]
        parts += [f"{pair_line(results)}.", markdown_table(pair_rows(results))]
        parts.append(f"Pairs: {', '.join(pairs)}.")
    first = markdown_cell(results["entries"][0]["name"])
    parts += [
        f"By class: accuracy of {first}, and differences of the others to it.",
        markdown_table(class_rows(results)),
        *notes(results),
        origin(results, "compare.json"),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Rows) -> str:
    """Headers and rows as a Markdown table, first column to the left, the others right."""
    headers, rows = table
    rule = ["---", *["---:"] * (len(headers) - 1)]
    lines = [[markdown_cell(text) for text in row] for row in (headers, *rows)]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def overview_csv(results: Mapping[str, Any]) -> str:
    """One line for each method, numbers as they are (shares 0..1)."""
    task, rows = results["task"], []
    for entry in results["entries"]:
        pairs = entry["pairs"] or {}
        row = {"name": entry["name"], "method": entry["method"], **task}
        row |= {"accuracy": entry["accuracy"], "interval95": entry["interval95"]}
        row |= {name: entry.get(name) for name in ("chance", "videos", "videos_interval95")}
        row |= _numbers("difference", entry["difference"])
        row |= {f"pairs_{name}": pairs.get(name) for name in ("accuracy", "interval95")}
        row |= _numbers("pairs_difference", pairs.get("difference"))
        row |= _numbers("pairs_baseline_difference", pairs.get("baseline_difference"))
        names = ("trained", "learning_rate", "parameters", "seconds_per_1000")
        rows.append(row | {name: entry[name] for name in names})
    return as_csv(rows)


def class_csv(results: Mapping[str, Any]) -> str:
    """One line for each class and method."""
    rows = []
    for entry in results["entries"]:
        for name, share in entry["per_class"].items():
            row = {"class": name, "name": entry["name"], "accuracy": share}
            rows.append(row | _numbers("difference", entry["class_difference"][name]))
    return as_csv(rows)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys as CSV with a line of headers."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _numbers(name: str, difference: Mapping[str, float] | None) -> dict[str, float | None]:
    difference = difference or {}
    return {name: difference.get("mean"), f"{name}_interval95": difference.get("interval95")}


def _or_first(metrics: Mapping[str, Any], first: Mapping[str, Any], key: str) -> str:
    return "-" if metrics is first else signed(metrics[key])


def screen_table(table: Rows, title: str, first: str = "") -> Table:
    """Headers and rows for the terminal, first column to the left, the others right.

    Args:
      first: name that stands below the table instead of in a header "difference to ...".
    """
    headers, rows = table
    caption = f"Differences are those to {escape(first)}, in points." if first else None
    screen = Table(title=escape(title), box=SIMPLE_HEAD, caption=caption, pad_edge=False)
    screen.collapse_padding = True
    for i, name in enumerate(headers):
        name = "difference" if name == f"difference to {first}" else name
        for words in _BROKEN:
            name = name.replace(words, f"\n{words.lstrip()}")
        screen.add_column(escape(name), justify="right" if i else "left", no_wrap=name != "trained")
    for row in rows:
        screen.add_row(*map(escape, row))
    return screen


def origin(results: Mapping[str, Any], file: str) -> str:
    """Date, versions and hardware in one paragraph, and the file that has all settings."""
    hardware, versions = results["hardware"], results["versions"]
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    device = f"{hardware['devices']} x {hardware['device']}, {hardware['cpu_cores']} CPU cores"
    return f"{results['date']}; {device}; {listed}. All settings are in {file}."


def markdown_cell(text: str) -> str:
    """Text that a Markdown reader shows as it is, on one line of a table."""
    text = " ".join(str(text).split())
    for old, new in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(old, new)
    for sign in "|*_`[]":
        text = text.replace(sign, f"\\{sign}")
    return text
