"""How a command line is read: settings, old names of flags, and mistakes as one line."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from mdmf_jax.errors import ConfigError

SETTING = "--config."  # what arguments such as --config.train.steps=10 begin with
# Old name of a flag -> the new one. A command that has the new one only takes the old one for
# one version more, with a warning; --help does not show it.
OLD_FLAGS = {
    "--clip": "--encoder",
    "--part": "--split",
    "--parts": "--shares",
    "--split": "--protocol",
}


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are ConfigErrors.

    Attributes:
      flags: names of all flags with two dashes.
      commands: parsers by command, if it has any.
    """

    def __init__(self, **options: Any):
        self.flags: list[str] = []
        self.commands: Mapping[str, Parser] = {}
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self.flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def add_subparsers(self, **options: Any) -> Any:
        actions = super().add_subparsers(**options)
        self.commands = actions.choices
        return actions

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    `settings` holds the arguments such as --config.train.steps=10, if the command takes them.

    Raises:
      ConfigError: an unknown command or flag, or a value that the flag does not take.
    """
    command = _called(parser, argv)
    words, settings = _divide(command, argv)
    options, rest = parser.parse_known_args(words)
    if rest:
        raise ConfigError(f"unexpected argument {rest[0]!r} (see {command.prog} --help)")
    options.settings = settings
    return options


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or nothing if no known word is like it."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _called(parser: Parser, argv: Sequence[str]) -> Parser:
    """The parser of the command that is called, or of its action."""
    for word in argv:
        if not parser.commands or word.startswith("-"):
            break
        if word not in parser.commands:
            hint = did_you_mean(word, parser.commands) or f"; known: {', '.join(parser.commands)}"
            raise ConfigError(f"unknown command {word!r}{hint} (see {parser.prog} --help)")
        parser = parser.commands[word]
    return parser


def _divide(command: Parser, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words for the parser, and the settings."""
    words, settings, rest = [], [], iter(argv)
    for word in rest:
        if word == "--":
            return [*words, word, *rest], settings
        flag, equals, value = word.partition("=")
        if flag.startswith(SETTING) and command.get_default("takes_settings"):
            settings.append(f"{flag}={value if equals else _next(rest, flag)}")
        elif flag.startswith("--") and " " not in flag:
            words.append(_known(command, flag) + equals + value)
        else:
            words.append(word)
    return words, settings


def _next(words: Iterable[str], flag: str) -> str:
    for word in words:
        return word
    raise ConfigError(f"unknown argument {flag!r}; write {flag}=VALUE")


def _known(command: Parser, flag: str) -> str:
    """The flag's name of today."""
    new = OLD_FLAGS.get(flag)
    if flag in command.flags:
        return flag
    if new in command.flags:
        print(f"warning: {flag} is now {new}; use that name", file=sys.stderr)
        return new
    hint = did_you_mean(flag, command.flags)
    raise ConfigError(f"unknown argument {flag!r}{hint} (see {command.prog} --help)")
