"""Flags that say what to evaluate: the split, the sizes of an episode, and folders that moved."""

import argparse
from typing import TYPE_CHECKING

from mdmf_jax.cli.numbers import whole
from mdmf_jax.data.protocols.protocol import SPLITS

if TYPE_CHECKING:
    from mdmf_jax.evaluation.task import Task

# The least value of each size, and what it is.
_SIZES = {
    "way": (2, "classes of an episode"),
    "shot": (1, "support videos of a class"),
    "queries": (1, "query videos of a class"),
    "episodes": (1, "number of episodes"),
    "seed": (0, "names the sequence of episodes"),
}
_FIELDS = ("split", *_SIZES, "encoder", "data")


def add_split(parser: argparse.ArgumentParser, text: str = "classes to test") -> None:
    """Adds --split."""
    parser.add_argument("--split", choices=SPLITS, help=text)


def add_sizes(parser: argparse.ArgumentParser, *names: str) -> None:
    """Adds --way, --shot, --queries, --episodes and --seed, or those of them that are named."""
    for name in names or _SIZES:
        least, text = _SIZES[name]
        parser.add_argument(f"--{name}", type=whole(least), metavar="N", help=text)


def add_moved(parser: argparse.ArgumentParser) -> None:
    """Adds --encoder and --data."""
    add_moved_encoder(parser)
    parser.add_argument("--data", metavar="DIR", help="folder of the videos, if it has moved")


def add_moved_encoder(parser: argparse.ArgumentParser) -> None:
    """Adds --encoder."""
    text = "name, folder or file of the encoder's pretrained model, if it has moved"
    parser.add_argument("--encoder", metavar="DIR", help=text)


def task_of(options: argparse.Namespace) -> "Task":
    """What the options ask for; None where they say nothing."""
    from mdmf_jax.evaluation.task import Task

    return Task(**{name: getattr(options, name, None) for name in _FIELDS})
