"""`mdmf predict`: label videos with a fitted model."""

import argparse
from pathlib import Path

from mdmf_jax.cli.models import add_model, on_error, print_skipped, print_verdict, shown
from mdmf_jax.errors import DataError
from mdmf_jax.files import write_json

SUMMARY = "Label videos with a model of the command fit; 'unknown' where no class fits."
DETAILS = """\
example (fit --help says where the model comes from):

  mdmf predict --model=demo/model demo/test/* --csv=demo/labels.csv

VIDEO is a file, a folder of images, or a folder of videos. Each gets a line: video, label,
probability of the nearest class, score (the threshold is in MODEL/model.json). A video that
cannot be used gets a line on stderr, and the others are labelled all the same.
"""
_HEADER = ("video", "label", "nearest", "probability", "score")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="what to label")
    parser.add_argument("--csv", metavar="FILE", help="write the labels as a table")
    parser.add_argument("--json", metavar="FILE", help="write them with all probabilities")


def run(options: argparse.Namespace) -> None:
    """Labels and prints.

    Raises:
      UserError: the model is missing or damaged, or no video can be used.
    """
    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.classifier.folders import expand
    from mdmf_jax.classifier.output import write_csv

    videos, others = expand(options.videos)
    if others and options.strict:
        raise DataError(others[0].reason)
    classifier = FewShotClassifier.load(options.model)
    print_verdict(classifier)
    answers = classifier.predictions(videos, on_error=on_error(options))
    classifier.skipped_ = others + classifier.skipped_
    print_skipped(classifier)
    done = [answer for answer in answers if answer.label is not None]
    if not done:
        raise DataError("none of the videos can be used; see the lines above")
    _print(done)
    if options.csv:
        write_csv(options.csv, _HEADER, [tuple(answer) for answer in done])
    if options.json:
        content = {
            "model": str(Path(options.model).absolute()),
            "classes": classifier.classes_,
            "verdict": classifier.verdict_.line() if classifier.verdict_ else None,
            "videos": [answer._asdict() for answer in done],
            "skipped": [bad._asdict() for bad in classifier.skipped_],
        }
        write_json(options.json, content, DataError)


def _print(answers) -> None:
    from rich.console import Console

    console = Console()
    for a in answers:
        line = f"{a.source}: {a.label} ({a.nearest} {a.probability:.1%}, score {a.score:.3f})"
        console.print(shown(line), highlight=False, soft_wrap=True)
