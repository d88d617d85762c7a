"""`mdmf eval`: test a trained head on many episodes of classes it has not seen."""

import argparse

from mdmf_jax.cli.processes import add_processes, join_processes
from mdmf_jax.cli.settings import add_config, config_of
from mdmf_jax.cli.task import add_moved, add_sizes, add_split, task_of

SUMMARY = "Test a run of the command train on many episodes of classes it has not seen."
DETAILS = """\
examples:

  mdmf eval --checkpoint=runs/demo --shot=5 --episodes=10000
  mdmf eval --config=demo --config.train.steps=0

The settings come from the checkpoint; what is not given of the episodes is as in them. Without
--checkpoint, a config with train.steps=0 tests an untrained head.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="folder of a run (its best checkpoint) or of one checkpoint",
    )
    add_config(parser, "without a checkpoint, the settings; with one, they must agree with its own")
    add_split(parser)
    add_sizes(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="JSON file to write; by default eval_SPLIT_WAYway_SHOTshot.json in the run's folder",
    )
    add_moved(parser)
    add_processes(parser)


def run(options: argparse.Namespace) -> None:
    """Evaluates and prints.

    Raises:
      UserError: see `runs.evaluate.evaluate`.
    """
    config = config_of(options)
    join_processes(options)

    from mdmf_jax.runs.evaluate import evaluate

    evaluate(task_of(options), checkpoint=options.checkpoint, config=config, out=options.out)
