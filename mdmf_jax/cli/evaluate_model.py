"""`mdmf evaluate`: test a fitted model on labelled videos."""

import argparse

from mdmf_jax.cli.models import add_model, on_error, print_skipped, shown
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
    parser.add_argument("--json", metavar="FILE", help="write all figures, with the curve")


def run(options: argparse.Namespace) -> None:
    """Evaluates and prints.

    Raises:
      UserError: the model or the folder is missing or damaged.
    """
    from mdmf_jax.classifier.classifier import FewShotClassifier

    classifier = FewShotClassifier.load(options.model)
    results = classifier.evaluate(options.videos, on_error=on_error(options))
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
        console.print(line, highlight=False, soft_wrap=True)


def _lines(results) -> list[str]:
    lines = []
    if results["known"]:
        lines.append(f"accuracy: {results['accuracy']:.1%} of {results['known']} videos")
        line = f"accepted: {results['coverage']:.1%} of them"
        if results["accepted_accuracy"] is not None:
            line += f", of which {results['accepted_accuracy']:.1%} right"
        lines += [line, f"expected calibration error: {results['calibration_error']:.3f}"]
    if results["foreign"]:
        rejected, count = results["rejected"], results["foreign"]
        lines.append(f"found unknown: {rejected:.1%} of {count} videos of other classes")
    if results["auroc"] is not None:
        lines.append(f"known against unknown: AUROC {results['auroc']:.3f}")
    return lines
