"""`mdmf compare`: several methods on the same episodes."""

import argparse
from dataclasses import replace
from pathlib import Path

from mdmf_jax.cli.entries import add_entries, entries_of
from mdmf_jax.cli.numbers import ranges
from mdmf_jax.cli.task import add_moved, add_sizes, add_split, task_of
from mdmf_jax.errors import ConfigError

SUMMARY = "Compare methods on the same episodes: accuracy, paired differences, time."
DETAILS = """\
example: three methods on the demo, two of them trained first

  mdmf compare --config=demo --config=demo:method=trx --config=demo:method=otam \\
      --train=runs/three --pairs=order --out=runs/three

Differences are those to the first entry. What is not given of the episodes is as in its
settings. --config.SECTION.SETTING=VALUE changes every config given by --config.
The folder of --out gets compare.json, compare.md, compare.csv, compare_classes.csv, forest.png
and forest.svg; --from=FILE writes them again from a compare.json, without computing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_entries(parser)
    add_split(parser)
    add_sizes(parser)
    add_moved(parser)
    parser.add_argument("--out", metavar="DIR", help="folder to write the results to")
    parser.add_argument(
        "--train",
        metavar="DIR",
        help="train each config that has parameters to train, in a folder of its own in DIR",
    )
    parser.add_argument(
        "--learning-rates",
        metavar="A,B",
        help="train with each of these, and take the best on the validation classes",
    )
    parser.add_argument(
        "--seeds", metavar="LIST", help="train and test every config with each seed, such as 0,1,2"
    )
    parser.add_argument(
        "--pairs",
        metavar="order|FILE",
        help="also 2-way episodes of classes that differ in order only: those named 'X then Y' "
        "and 'Y then X', or those in FILE, two names a line with a comma",
    )
    parser.add_argument(
        "--from", dest="source", metavar="FILE", help="a compare.json to write out again"
    )
    parser.add_argument(
        "--page", metavar="FILE", help="Markdown page to put the results into, at its marked place"
    )


def run(options: argparse.Namespace) -> None:
    """Compares and writes.

    Raises:
      UserError: see `run_compare.compare`.
    """
    results = _read(options) if options.source else _computed(options)
    if options.page:
        from mdmf_jax.comparison.files import fill_page

        fill_page(results, Path(options.page))
        print(f"wrote {options.page}")


def _read(options: argparse.Namespace) -> dict:
    from mdmf_jax.comparison.files import read_comparison, write_comparison

    if options.entries or not (options.out or options.page):
        raise ConfigError("--from=FILE goes with --out or --page, and without --config")
    results = read_comparison(Path(options.source))
    if options.out:
        write_comparison(results, Path(options.out))
    return results


def _computed(options: argparse.Namespace) -> dict:
    if not options.entries:
        raise ConfigError("give --config=FILE or --checkpoint=RUN, once for each method")
    if not options.out:
        raise ConfigError("--out is missing: the folder to write the results to")
    if options.learning_rates and not options.train:
        raise ConfigError("--learning-rates is for training; give --train=DIR as well")
    rates = _rates(options.learning_rates)

    from mdmf_jax.runs.compare import compare
    from mdmf_jax.runs.entries import for_seeds

    entries, task = entries_of(options), task_of(options)
    if options.seeds:
        seeds = ranges(options.seeds, "--seeds", 0)
        entries = for_seeds(entries, seeds)
        task = task if task.seed is not None else replace(task, seed=seeds[0])
    return compare(
        entries,
        task,
        options.out,
        pairs=options.pairs,
        train=options.train,
        learning_rates=rates,
    )


def _rates(text: str | None) -> tuple[float, ...]:
    try:
        rates = tuple(float(item) for item in text.split(",")) if text else ()
    except ValueError:
        rates = (-1.0,)
    if not all(0 < rate < 1 for rate in rates):
        raise ConfigError(f"--learning-rates is {text!r}; give numbers such as 1e-3,3e-4")
    return rates
