"""`mdmf search`: find the classes of a fitted model in long videos."""

import argparse

from mdmf_jax.cli.models import add_model, print_verdict
from mdmf_jax.cli.numbers import positive

SUMMARY = "Find the classes of a model in long videos: spans with start, end, label and score."
DETAILS = """\
example (fit --help says where the model comes from):

  mdmf search --model=demo/model --videos=demo/long --out=demo/spans.csv

The window should be about as long as one action. The CSV has a line for each span, times in
seconds. What is done is kept in spans.csv.jsonl, video by video: started again, the command
goes on where it stopped. Videos that cannot be used get a line on stderr and are tried again at
the next start.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    parser.add_argument(
        "--videos", required=True, metavar="DIR", help="folder of videos, with folders in it or not"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument(
        "--window",
        type=positive,
        default=2.0,
        metavar="SECONDS",
        help="length of a window (default: 2)",
    )
    parser.add_argument(
        "--stride",
        type=positive,
        metavar="SECONDS",
        help="distance of their starts (default: an eighth of the window)",
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=25.0,
        metavar="FPS",
        help="frames a second of folders of images (default: 25)",
    )


def run(options: argparse.Namespace) -> None:
    """Searches and writes.

    Raises:
      UserError: the model or the folder is missing or damaged, or --out belongs to another
        search.
    """
    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.classifier.searching import search_folder

    classifier = FewShotClassifier.load(options.model)
    print_verdict(classifier)
    search_folder(
        classifier,
        options.model,
        options.videos,
        options.out,
        window=options.window,
        stride=options.stride or options.window / 8,
        rate=options.rate,
        strict=options.strict,
    )
