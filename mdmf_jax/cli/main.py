"""The commands of `mdmf` (or `mdmf`).

A command is a module with `SUMMARY`, `DETAILS` (with an example), `add_arguments(parser)` and
`run(options)`, which returns the exit code if it is not 0. Such modules import what costs time
(jax, numpy and all that needs them) only inside `run`.
"""

import argparse
import sys
from collections.abc import Sequence

from absl import logging

import mdmf_jax
from mdmf_jax.cli import (
    bench,
    compare,
    demo,
    descriptions,
    doctor,
    evaluate_model,
    evaluate_run,
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
    train,
    weights,
)
from mdmf_jax.cli import (
    parser as parsers,
)
from mdmf_jax.errors import Stopped, UserError
from mdmf_jax.training import compilation_cache

COMMANDS = {
    "train": train,
    "eval": evaluate_run,
    "import": import_weights,
    "export": export_weights,
    "weights": weights,
    "splits": splits,
    "prepare": prepare,
    "compare": compare,
    "descriptions": descriptions,
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
WRONG = 2  # exit code of a UserError
STOPPED = 143  # of Stopped: 128 + SIGTERM, as of a program that the signal ends


def entry() -> int:
    """What the installed program `mdmf` runs."""
    return main(sys.argv[1:])


def main(argv: Sequence[str]) -> int:
    """Runs a command line (without the program's name); returns the exit code.

    A UserError becomes one line on stderr and exit code 2, a Stopped one and exit code 143.
    """
    try:
        options = parse(argv)
        logging.set_verbosity(logging.ERROR)
        compilation_cache.switch_on()
        return options.run(options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; `run(options)` does what it asks for.

    Raises:
      ConfigError: it is wrong.
    """
    return parsers.parse(make_parser(), argv)


def make_parser() -> parsers.Parser:
    """The parser of all commands."""
    parser = parsers.Parser(prog="mdmf", description="Few-shot action recognition in video.")
    version = f"mdmf_jax {mdmf_jax.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.SUMMARY, epilog=module.DETAILS
        )
        command.set_defaults(run=module.run, takes_settings=False)
        module.add_arguments(command)
    return parser
