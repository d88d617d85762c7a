"""What train.py and eval.py share: flags, and errors as one line with exit code 2."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from mdmf_jax.config.config import Config, from_config_dict
from mdmf_jax.config.convert import check_known
from mdmf_jax.config.schema import known_settings
from mdmf_jax.errors import ConfigError, Stopped, UserError
from mdmf_jax.training import compilation_cache, distributed

STOPPED = 143  # 128 + SIGTERM, as of a program that the signal ends


def run(
    main: Callable[[flags.FlagValues], None],
    define: Callable[[flags.FlagValues], None],
    argv: Sequence[str],
    usage: str,
) -> int:
    """Parses the flags and calls `main`; returns the exit code.

    A UserError becomes one line on stderr and exit code 2, a Stopped one and exit code 143;
    "--help" prints the flags.

    Args:
      define: adds the program's flags to an empty FlagValues that has --config already.
      argv: with the program's name first.
      usage: text that --help prints before the flags.
    """
    logging.set_verbosity(logging.ERROR)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config",
        help_string="Config file, such as configs/demo.py; --config.train.steps=10 overrides.",
        flag_values=values,
        sys_argv=list(argv),
    )
    define(values)
    _define_processes(values)
    if {"-h", "-help", "--help"} & set(argv[1:]):
        print(usage + "\n" + values.get_help())
        return 0
    try:
        parse(values, argv)
        compilation_cache.switch_on()
        _join_processes(values)
        main(values)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    return 0


def parse(values: flags.FlagValues, argv: Sequence[str]) -> flags.FlagValues:
    """Parses the command line.

    Raises:
      ConfigError: an unknown flag, setting or config file, or a value of the wrong type.
    """
    _check_config_flags(argv[1:])
    try:
        rest = values(list(argv))
    except flags.Error as error:
        raise ConfigError(_reason(error)) from error
    if len(rest) > 1:
        raise ConfigError(f"unexpected argument {rest[1]!r}; flags are written --name=value")
    return values


def config_of(values: flags.FlagValues) -> Config | None:
    """The settings that --config and its overrides give; None without --config.

    Raises:
      ConfigError: an unknown setting or a bad value.
    """
    return None if values.config is None else from_config_dict(values.config)


def _define_processes(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "coordinator",
        None,
        "Several processes: HOST:PORT of the first, or 'auto' where JAX can find them by itself.",
        flag_values=values,
    )
    for name, text, least in (
        ("num_processes", "How many processes.", 1),
        ("process_id", "Which of them this is, from 0.", 0),
    ):
        flags.DEFINE_integer(name, None, text, lower_bound=least, flag_values=values)


def _join_processes(values: flags.FlagValues) -> None:
    names = ("coordinator", "num_processes", "process_id")
    distributed.start(distributed.cluster_of(*(values[name].value for name in names)))


def _check_config_flags(args: Sequence[str]) -> None:
    """Checks the config file's name, and that each override names a known setting.

    ml_collections would report a misspelt name by an exception that says little.
    """
    known, file_given = known_settings(), False
    for i, arg in enumerate(args):
        name, equals, value = arg.lstrip("-").partition("=")
        if not arg.startswith("-"):
            continue
        if name == "config":
            file_given = True
            _check_file(value if equals else "".join(args[i + 1 : i + 2]))
        elif name.startswith(("config.", "noconfig.")):
            if not file_given:
                raise ConfigError(f"{arg} must come after --config=FILE")
            section, _, setting = name.split(".", 1)[1].partition(".")
            check_known(section, known[""])
            if setting:
                check_known(setting, known.get(section, ()), section)


def _check_file(value: str) -> None:
    path = value.split(":", 1)[0]
    if not Path(path).is_file():
        raise ConfigError(f"config file {path!r} does not exist; try --config=configs/demo.py")


def _reason(error: BaseException) -> str:
    """One line; of an error raised inside a config file, its own message."""
    # ml_collections raises it again, of the same type, with a traceback in its message.
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    own = [cause for cause in causes if isinstance(cause, UserError)]
    return str(own[-1]) if own else " ".join(str(error).split())
