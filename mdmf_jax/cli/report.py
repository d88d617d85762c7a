"""`mdmf report`: an evaluation or a comparison as one HTML file."""

import argparse

from mdmf_jax import files
from mdmf_jax.cli.numbers import whole
from mdmf_jax.cli.task import add_moved, add_sizes, task_of
from mdmf_jax.errors import ConfigError, DataError

SUMMARY = "Write an evaluation or a comparison as one HTML file that needs nothing else."
DETAILS = """\
example: a short run on the demo, and its report

  mdmf train --config=demo --workdir=runs/short --config.train.steps=20
  mdmf report runs/short --out=runs/short/report.html

SOURCE is the folder of a run, a file that eval wrote, or a compare.json. Accuracies are taken
from there. Confusions, the hardest episodes, prompts and views need answers to single episodes:
these are given again by the checkpoint, to the first --episodes episodes of the task.
--numbers-only leaves this out, and then neither checkpoint nor videos are needed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="run, eval_*.json or compare.json")
    parser.add_argument("--out", required=True, metavar="FILE", help="HTML file to write")
    parser.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="run or checkpoint, if it has moved",
    )
    parser.add_argument(
        "--entry", metavar="NAME", help="method of a comparison to look into; the first by default"
    )
    parser.add_argument(
        "--numbers-only", action="store_true", help="nothing that needs answers to be given again"
    )
    add_sizes(parser, "way", "shot")
    parser.add_argument(
        "--episodes", type=whole(1), metavar="N", help="episodes to look into (1,000)"
    )
    add_moved(parser)


def run(options: argparse.Namespace) -> None:
    """Writes the page.

    Raises:
      UserError: the source, the checkpoint, the data or the CLIP is missing or wrong, or the
        file cannot be written.
    """
    from mdmf_jax.report.sources import read_source

    found = read_source(options.source, options.checkpoint)
    comparison = isinstance(found, dict)
    if options.entry and not comparison:
        raise ConfigError("--entry is for a compare.json; leave it out")
    page = _comparison(found, options) if comparison else _evaluation(found, options)
    files.write_whole(options.out, page, DataError)
    print(f"wrote {options.out} ({files.size_of(files.path(options.out)) / 1e6:.1f} MB)")


def _evaluation(evaluation, options: argparse.Namespace) -> str:
    from mdmf_jax.report.page import evaluation_page

    return evaluation_page(evaluation, *_looked_into(evaluation, options))


def _comparison(results, options: argparse.Namespace) -> str:
    from mdmf_jax.report.page import comparison_page
    from mdmf_jax.report.sources import entry_evaluation

    if options.numbers_only:
        return comparison_page(results)
    name = options.entry or results["entries"][0]["name"]
    evaluation = entry_evaluation(results, name, options.checkpoint)
    return comparison_page(results, name, *_looked_into(evaluation, options))


def _looked_into(evaluation, options: argparse.Namespace):
    """The analysis and the method's options, or twice None."""
    if options.numbers_only:
        return None, None

    from mdmf_jax.report.analysis import EPISODES, analyse
    from mdmf_jax.report.sources import load, task_sizes

    task = task_of(options)
    opened = load(evaluation, task)
    analysis = analyse(opened, task_sizes(evaluation, task, EPISODES))
    return analysis, opened.config.head
