"""The settings of a run on the command line: --config, --config.SECTION.SETTING=VALUE."""

import argparse
from typing import TYPE_CHECKING

from mdmf_jax.errors import ConfigError

if TYPE_CHECKING:
    from mdmf_jax.config.config import Config

CONFIG = (
    "name of a packaged config (demo, hmdb51, ...) or path of a config file; "
    "--config.SECTION.SETTING=VALUE changes a setting"
)


def add_config(parser: argparse.ArgumentParser, text: str = CONFIG) -> None:
    """Adds --config, and --config.SECTION.SETTING=VALUE, which --help does not list."""
    parser.set_defaults(takes_settings=True)
    parser.add_argument("--config", metavar="CONFIG[:ITEM,...]", help=text)


def config_of(options: argparse.Namespace) -> "Config | None":
    """The settings that --config and its overrides give; None without --config.

    Raises:
      ConfigError: an unknown setting or a bad value, or overrides of no config.
    """
    from mdmf_jax.config.load import load_config

    if options.config is not None:
        return load_config(options.config, options.settings)
    if options.settings:
        raise ConfigError(f"{options.settings[0]} changes a config; give --config=CONFIG, too")
    return None
