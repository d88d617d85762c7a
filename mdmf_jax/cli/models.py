"""What the commands fit, predict, search and evaluate share."""

import argparse
import sys
from typing import TYPE_CHECKING

from mdmf_jax.errors import UserError

if TYPE_CHECKING:
    from mdmf_jax.classifier.classifier import FewShotClassifier


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds --model and --strict."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="folder that the command fit wrote"
    )
    add_strict(parser)


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Adds --strict."""
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first video that cannot be used"
    )


def on_error(options: argparse.Namespace) -> str:
    """The classifier's `on_error`."""
    return "raise" if options.strict else "skip"


def print_skipped(classifier: "FewShotClassifier") -> None:
    """A line on stderr for each video that was passed over or unusual."""
    for video in classifier.skipped_:
        print(f"skipped: {video.reason}", file=sys.stderr)
    for note in classifier.notes_:
        print(f"note: {note}", file=sys.stderr)


def print_verdict(classifier: "FewShotClassifier") -> None:
    """The verdict that the command fit gave of a saved model, as a line on stderr."""
    verdict = classifier.verdict_
    line = (
        verdict.line()
        if verdict
        else ("verdict: none, the model is of a version that did not judge; fit it again")
    )
    print(UserError(f"model: {line}"), file=sys.stderr)


def shown(text: object) -> str:
    """Names of files and classes for rich: no markup, no control sequences of a terminal."""
    from rich.markup import escape

    return escape(str(UserError(str(text))))
