"""What the commands compare and grid share: --config and --checkpoint, several times."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mdmf_jax.errors import ConfigError

if TYPE_CHECKING:
    from mdmf_jax.runs.entries import Entry


def add_entries(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --checkpoint, which may be given several times, in any order."""
    parser.set_defaults(entries=[], takes_settings=True)
    parser.add_argument(
        "--config",
        action=_AddEntry,
        metavar="[NAME=]CONFIG[:ITEM,...]",
        help="packaged config (demo) or path of a config file; an item is one that the config "
        "knows (method=trx) or a setting of this entry alone (mdmf.matcher=tuples)",
    )
    parser.add_argument(
        "--checkpoint",
        action=_AddEntry,
        metavar="[NAME=]RUN",
        help="folder of a run (its best checkpoint) or of one checkpoint",
    )


def entries_of(options: argparse.Namespace) -> "list[Entry]":
    """The entries in the order given.

    Raises:
      ConfigError: a wrong config, or two entries of one name.
    """
    from mdmf_jax.config.load import load_config, split_text
    from mdmf_jax.runs.entries import Entry

    entries = []
    for kind, text in options.entries:
        name, text = split_name(text)
        if kind == "checkpoint":
            entries.append(Entry(name or Path(text).name or text, checkpoint=text))
            continue
        config = load_config(text, options.settings)
        named = ", ".join([config.method, *split_text(text)[2]])
        entries.append(Entry(name or named, config=config))
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two entries are called {name!r}; name one: NAME=CONFIG or NAME=RUN")
    return entries


def split_name(text: str) -> tuple[str, str]:
    """("NAME", rest) of "NAME=rest"; the name is "" if there is none."""
    match = re.fullmatch(r"([^/:=]+)=(.+)", text)
    if match is None or Path(text.split(":")[0]).exists():
        return "", text
    return match[1], match[2]


class _AddEntry(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        namespace.entries = [*namespace.entries, ((option_string or "").lstrip("-"), values)]
