"""What the commands compare and grid share: --config and --checkpoint, and the episodes."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdmf_jax.errors import ConfigError

if TYPE_CHECKING:
    from mdmf_jax.evaluation.task import Task
    from mdmf_jax.runs.entries import Entry

_SIZES = ("split", "way", "shot", "queries", "episodes", "seed", "encoder", "data")


def add_entries(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --checkpoint, which may be given several times, in any order."""
    parser.set_defaults(entries=[], takes_settings=True)
    parser.add_argument(
        "--config",
        action=_AddEntry,
        metavar="[NAME=]FILE[:ITEM,...]",
        help="config file; an item is one that the file knows (method=trx) or a setting of this "
        "entry alone (mdmf.matcher=tuples)",
    )
    parser.add_argument(
        "--checkpoint",
        action=_AddEntry,
        metavar="[NAME=]RUN",
        help="folder of a run (its best checkpoint) or of one checkpoint",
    )


def add_task(parser: argparse.ArgumentParser, *skip: str) -> None:
    """Adds the sizes of the episodes and the folders, without those named in `skip`."""
    texts = {
        "way": "classes of an episode",
        "shot": "support videos of a class",
        "queries": "query videos of a class",
        "episodes": "number of episodes",
        "seed": "names the sequence of episodes",
    }
    parser.add_argument("--split", choices=("train", "val", "test"), help="classes to test")
    for name, text in texts.items():
        if name not in skip:
            least = {"way": 2, "seed": 0}.get(name, 1)
            parser.add_argument(f"--{name}", type=number(least), metavar="N", help=text)
    parser.add_argument(
        "--clip", dest="encoder", metavar="DIR", help="folder of the CLIP, if it has moved"
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the videos, if it has moved")


def task_of(options: argparse.Namespace) -> "Task":
    """The episodes that the options ask for."""
    from mdmf_jax.evaluation.task import Task

    return Task(**{name: getattr(options, name, None) for name in _SIZES})


def entries_of(options: argparse.Namespace) -> "list[Entry]":
    """The entries in the order given.

    Raises:
      ConfigError: a wrong config, or two entries of one name.
    """
    from mdmf_jax.runs.entries import Entry

    entries = []
    for kind, text in options.entries:
        name, text = split_name(text)
        if kind == "checkpoint":
            entries.append(Entry(name or Path(text).name or text, checkpoint=text))
            continue
        config, own = read_config(text, options.settings)
        entries.append(Entry(name or ", ".join([config.method, *own]), config=config))
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two entries are called {name!r}; name one: NAME=FILE or NAME=RUN")
    return entries


def split_name(text: str) -> tuple[str, str]:
    """("NAME", rest) of "NAME=rest"; the name is "" if there is none."""
    match = re.fullmatch(r"([^/:=]+)=(.+)", text)
    if match is None or Path(text.split(":")[0]).exists():
        return "", text
    return match[1], match[2]


def read_config(text: str, settings: Sequence[str]):
    """The config that FILE[:ITEM,...] and --config.* arguments mean, and its own settings.

    Items with a dot in their name are settings of this entry alone.

    Raises:
      ConfigError: an unknown file, item or setting, or a bad value.
    """
    from mdmf_jax.runs.published_checkpoint import make_config

    file, _, argument = text.partition(":")
    # Commas inside of parentheses belong to a value, as in tuples.levels=(1,2).
    items = [item for item in re.split(r",(?![^(]*\))", argument) if item]
    own = [item for item in items if "." in item.partition("=")[0]]
    given = ",".join(item for item in items if item not in own)
    file = f"{file}:{given}" if given else file
    return make_config(file, [*settings, *(f"--config.{item}" for item in own)]), own


def number(least: int):
    """A type for argparse: a whole number of at least `least`."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return convert


class _AddEntry(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        namespace.entries = [*namespace.entries, (option_string.lstrip("-"), values)]
