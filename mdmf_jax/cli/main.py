"""The commands of `python -m mdmf_jax`.

A command is a module with `SUMMARY`, `add_arguments(parser)` and `run(options)`, which returns
the exit code if it is not 0. Such modules import what costs time (jax and all that needs it)
only inside `run`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from absl import logging

from mdmf_jax.cli import (
    bench,
    compare,
    demo,
    doctor,
    evaluate_model,
    explain,
    export_weights,
    features,
    fit,
    grid,
    import_weights,
    predict,
    prepare,
    report,
    search,
    splits,
)
from mdmf_jax.errors import ConfigError, UserError
from mdmf_jax.training import compilation_cache

COMMANDS = {
    "import": import_weights,
    "export": export_weights,
    "splits": splits,
    "prepare": prepare,
    "compare": compare,
    "features": features,
    "grid": grid,
    "bench": bench,
    "doctor": doctor,
    "demo": demo,
    "fit": fit,
    "predict": predict,
    "search": search,
    "evaluate": evaluate_model,
    "explain": explain,
    "report": report,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def entry() -> int:
    """What the installed program `mdmf` runs."""
    return main(sys.argv[1:])


def main(argv: Sequence[str]) -> int:
    """Runs a command line (without the program's name); returns the exit code.

    A UserError becomes one line on stderr and exit code 2.
    """
    try:
        options = _parse(argv)
        logging.set_verbosity(logging.ERROR)
        compilation_cache.switch_on()
        code = options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code or 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command's options; `settings` holds arguments such as --config.train.steps=10."""
    options, rest = _parser().parse_known_args(argv)
    settings = [text for text in rest if text.startswith("--config.") and "=" in text]
    unknown = [text for text in rest if text not in settings or not options.takes_settings]
    if unknown:
        raise ConfigError(f"unknown argument {unknown[0]!r} (see python -m mdmf_jax --help)")
    options.settings = settings
    return options


def _program() -> str:
    """How the program was called."""
    return "mdmf" if Path(sys.argv[0]).stem == "mdmf" else "python -m mdmf_jax"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_program(), description="Few-shot action recognition.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            epilog=getattr(module, "DETAILS", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=module.run, takes_settings=False)
        module.add_arguments(command)
    return parser
