"""Test a trained head on many episodes of classes it has not seen.

    python eval.py --checkpoint=runs/demo --shot=5 --episodes=10000

The settings come from the checkpoint. Without --checkpoint, a config with train.steps=0 tests
an untrained head:

    python eval.py --config=configs/demo.py --config.train.steps=0
"""

import sys
from collections.abc import Sequence

from absl import flags

from mdmf_jax.cli import flags as command_line
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.evaluate import evaluate

_FROM_CONFIG = " By default as in the config."


def define(values: flags.FlagValues) -> None:
    """Adds this program's flags."""
    for name, text in {
        "checkpoint": "Folder of a run (its best checkpoint) or of one checkpoint.",
        "out": "JSON file to write; by default eval_<part>_<way>way_<shot>shot.json in the run.",
        "clip": "Folder of the CLIP, if it has moved.",
        "data": "Folder of the videos, if it has moved.",
    }.items():
        flags.DEFINE_string(name, None, text, flag_values=values)
    parts = ["train", "val", "test"]
    flags.DEFINE_enum("split", None, parts, "Classes to test." + _FROM_CONFIG, flag_values=values)
    for name, text, least in (
        ("way", "Classes of an episode.", 2),
        ("shot", "Support videos of a class.", 1),
        ("queries", "Query videos of a class.", 1),
        ("episodes", "Number of episodes.", 1),
        ("seed", "Names the sequence of episodes.", 0),
    ):
        flags.DEFINE_integer(name, None, text + _FROM_CONFIG, lower_bound=least, flag_values=values)


def main(values: flags.FlagValues) -> None:
    """Evaluates with the parsed flags."""
    names = ("way", "shot", "queries", "episodes", "seed", "clip", "data")
    given = {name: values[name].value for name in names}
    task = Task(split=values.split, encoder=given.pop("clip"), **given)
    config = command_line.config_of(values)
    evaluate(task, checkpoint=values.checkpoint, config=config, out=values.out)


def run(argv: Sequence[str]) -> int:
    """The program on a command line; returns the exit code."""
    return command_line.run(main, define, argv, __doc__)


if __name__ == "__main__":
    sys.exit(run(sys.argv))
