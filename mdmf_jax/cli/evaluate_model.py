"""`mdmf evaluate`: test a fitted model on labelled videos."""

import argparse

from mdmf_jax.cli.models import add_model, on_error, print_skipped, print_verdict, shown
from mdmf_jax.errors import DataError
from mdmf_jax.files import write_json

SUMMARY = "Test a model of the command fit on labelled videos: accuracy, 'unknown', calibration."
DETAILS = """\
example (fit --help says where the model comes from):

  mdmf evaluate --model=demo/model --videos=demo/test --json=demo/test.json

The folder holds a folder for each class; classes that the model does not know count as unknown.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    parser.add_argument("--videos", required=True, metavar="DIR", help="the labelled videos")
    parser.add_argument(
        "--groups",
        metavar="FILE",
        help="CSV file clip,group: a clip is compared with labelled videos of other groups only",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures, with the curve")


def run(options: argparse.Namespace) -> None:
    """Evaluates and prints.

    Raises:
      UserError: the model or the folder is missing or damaged.
    """
    from mdmf_jax.classifier.classifier import FewShotClassifier

    classifier = FewShotClassifier.load(options.model)
    print_verdict(classifier)
    results = classifier.evaluate(options.videos, groups=options.groups, on_error=on_error(options))
    print_skipped(classifier)
    _print(results)
    if options.json:
        results["skipped"] = [bad._asdict() for bad in classifier.skipped_]
        write_json(options.json, results, DataError)


def _print(results) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("class", "accuracy", "videos", "as unknown")
    for name, row in zip(results["labels"], results["confusion"], strict=True):
        if sum(row):
            accuracy = results["per_class"].get(name)
            cells = "" if accuracy is None else f"{accuracy:.1%}", str(sum(row)), str(row[-1])
            table.add_row(shown(name), *cells)
    console.print(table)
    for line in _lines(results):
        console.print(shown(line), highlight=False, soft_wrap=True)


def _lines(results) -> list[str]:
    from mdmf_jax.classifier.verdict import ALPHA

    lines = []
    if results["known"]:
        line = f"accuracy: {results['accuracy']:.1%} of {results['known']} videos"
        above = "" if results["p_value"] <= ALPHA else ": not above chance"
        lines.append(f"{line} (chance {results['chance']:.1%}{above})")
        line = f"accepted: {results['coverage']:.1%} of them"
        if results["accepted_accuracy"] is not None:
            line += f", of which {results['accepted_accuracy']:.1%} right"
        lines += [line, f"expected calibration error: {results['calibration_error']:.3f}"]
    if results["foreign"]:
        rejected, count = results["rejected"], results["foreign"]
        lines.append(f"found unknown: {rejected:.1%} of {count} videos of other classes")
    if results["in_support"]:
        count, first = len(results["in_support"]), results["in_support"][0]
        lines.append(
            f"warning: {count} of the {results['videos']} videos are labelled videos of the model "
            f"too, such as {first}: the figures are too good; test it with others"
        )
    if results["auroc"] is not None:
        lines.append(f"known against unknown: AUROC {results['auroc']:.3f}")
    return lines
