"""`mdmf train`: train a few-shot method on videos, and test it on classes it has not seen."""

import argparse

from mdmf_jax.cli.processes import add_processes, join_processes
from mdmf_jax.cli.settings import add_config, config_of
from mdmf_jax.errors import ConfigError

SUMMARY = "Train a few-shot method on videos, and test it on classes it has not seen."
DETAILS = """\
examples:

  mdmf train --config=demo --workdir=runs/demo
  mdmf train --config=hmdb51:shot=1,method=trx --workdir=runs/trx --config.data.root=VIDEOS

Settings are changed on the command line (--config.train.steps=10) or after the config's name
(demo:shot=5,variant=reference). A run that was stopped goes on where its newest checkpoint was
made, when the same command is given again. The results are in WORKDIR/results.json.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder for checkpoints, logs and results")
    add_processes(parser)


def run(options: argparse.Namespace) -> None:
    """Trains and tests.

    Raises:
      UserError: see `train_and_evaluate`.
      Stopped: SIGTERM came; the state is saved.
    """
    config = config_of(options)
    if config is None:
        raise ConfigError("--config is missing; try --config=demo")
    if not options.workdir:
        raise ConfigError("--workdir is missing; try --workdir=runs/demo")
    join_processes(options)

    from mdmf_jax.runs.train import train_and_evaluate

    train_and_evaluate(config, options.workdir)
