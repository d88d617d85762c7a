"""Train a few-shot method on videos and test it on classes it has not seen.

    python train.py --config=configs/demo.py --workdir=runs/demo

Settings are overridden on the command line (--config.train.steps=10) or after the config file's
name (--config=configs/demo.py:shot=5,variant=reference). A run that was stopped goes on where
its newest checkpoint was made. The results are in WORKDIR/results.json.
"""

import sys
from collections.abc import Sequence

from absl import flags

from mdmf_jax.cli import flags as command_line
from mdmf_jax.errors import ConfigError
from mdmf_jax.runs.train import train_and_evaluate


def define(values: flags.FlagValues) -> None:
    """Adds this program's flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder for checkpoints, logs and results.", flag_values=values
    )


def main(values: flags.FlagValues) -> None:
    """Trains with the parsed flags."""
    config = command_line.config_of(values)
    if config is None:
        raise ConfigError("--config is missing; try --config=configs/demo.py")
    if not values.workdir:
        raise ConfigError("--workdir is missing; try --workdir=runs/demo")
    train_and_evaluate(config, values.workdir)


def run(argv: Sequence[str]) -> int:
    """The program on a command line; returns the exit code."""
    return command_line.run(main, define, argv, __doc__)


if __name__ == "__main__":
    sys.exit(run(sys.argv))
