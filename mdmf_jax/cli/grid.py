"""`mdmf grid`: accuracy for any number of classes and of shots."""

import argparse

from mdmf_jax.cli.entries import add_entries, entries_of
from mdmf_jax.cli.numbers import ranges
from mdmf_jax.cli.task import add_moved, add_sizes, add_split, task_of
from mdmf_jax.errors import ConfigError

SUMMARY = "Accuracy of one method over a grid of ways and shots, from one feature pass."
DETAILS = """\
example:

  mdmf grid --checkpoint=runs/demo --ways=5,10,16 --shots=1..10 --out=runs/demo/grid

A list is written 1,2,5 or 1..10 or 5..20:5 (every fifth). Without --ways it is 5, 10, 15 and 20,
as far as there are classes. The folder of --out gets grid.json, grid.md, grid.csv, grid.png and
grid.svg.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_entries(parser)
    add_split(parser)
    add_sizes(parser, "queries", "episodes", "seed")
    add_moved(parser)
    parser.add_argument("--ways", metavar="LIST", help="numbers of classes; by default 5..20:5")
    parser.add_argument(
        "--shots", metavar="LIST", help="numbers of support videos of a class; by default 1..10"
    )
    parser.add_argument("--out", metavar="DIR", help="folder to write the results to")


def run(options: argparse.Namespace) -> None:
    """Evaluates and writes.

    Raises:
      UserError: see `run_grid.grid`.
    """
    ways = ranges(options.ways, "--ways", 2) if options.ways else None
    shots = ranges(options.shots, "--shots", 1) if options.shots else tuple(range(1, 11))
    if len(options.entries) != 1:
        raise ConfigError("give one --checkpoint=RUN, or one --config=FILE")
    if not options.out:
        raise ConfigError("--out is missing: the folder to write the results to")

    from mdmf_jax.runs.grid import grid

    grid(entries_of(options)[0], task_of(options), ways, shots, options.out)
