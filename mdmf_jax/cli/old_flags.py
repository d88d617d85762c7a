"""Flags under the names they had before: accepted for one version, not shown in the help."""

import argparse
import sys
from typing import Any


class OldFlag(argparse.Action):
    """Stores its value under the new flag's name, and says on stderr what that is."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        new = f"--{self.dest.replace('_', '-')}"
        print(f"warning: {option_string} is now {new}; use that name", file=sys.stderr)
        setattr(namespace, self.dest, values)


def add_old_flag(parser: argparse.ArgumentParser, old: str, new: str, **options: Any) -> None:
    """Accepts a flag's old name beside its new one.

    Args:
      old, new: such as "--part" and "--split"; the new flag is there already.
      options: of `add_argument`, such as `choices`.
    """
    dest = new.removeprefix("--").replace("-", "_")
    options |= {"dest": dest, "action": OldFlag, "default": parser.get_default(dest)}
    parser.add_argument(old, help=argparse.SUPPRESS, **options)
