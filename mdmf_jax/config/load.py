"""The settings that --config and its overrides mean, from any folder.

A config is a Python file with a function `get_config(arg) -> ConfigDict`, or the name of one
that comes with this package (configs/).
"""

import importlib.util
import inspect
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections.config_dict import ConfigDict

import mdmf_jax
from mdmf_jax.config.config import Config, from_config_dict
from mdmf_jax.config.overrides import apply_overrides
from mdmf_jax.errors import ConfigError, UserError

CONFIGS = Path(mdmf_jax.__file__).parent / "assets" / "configs"


def load_config(text: str, overrides: Sequence[str] = ()) -> Config:
    """The checked settings of a config.

    Args:
      text: NAME or FILE, with or without ":ITEM,...": a packaged config by name ("hmdb51:shot=1")
        or a file ("configs/demo.py:method=trx"). An item is one that the config knows, or a
        setting with a dot in its name (mdmf.matcher=tuples), which wins over the overrides.
      overrides: as `apply_overrides` takes them.

    Raises:
      ConfigError: an unknown config, item or setting, a bad value, or an error in the file.
    """
    file, argument, own = split_text(text)
    config = read_file(find_file(file), argument)
    apply_overrides(config, [*overrides, *own])
    return from_config_dict(config)


def split_text(text: str) -> tuple[str, str, list[str]]:
    """(name or file, argument of its get_config, settings with a dot) of "FILE:ITEM,..."."""
    file, _, items = text.partition(":")
    # Commas inside of parentheses belong to a value, as in tuples.levels=(1,2).
    listed = [item for item in re.split(r",(?![^(]*\))", items) if item]
    own = [item for item in listed if "." in item.partition("=")[0]]
    return file, ",".join(item for item in listed if item not in own), own


def packaged_configs() -> dict[str, Path]:
    """The files of the configs that come with this package, by name."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.py")) if path.stem[0] != "_"}


def find_file(name: str) -> Path:
    """The file of a config, which is packaged or lies where its path says.

    Raises:
      ConfigError: there is none.
    """
    packaged = packaged_configs()
    if "/" not in name and not name.endswith(".py"):
        if name in packaged:
            return packaged[name]
        known = ", ".join(packaged)
        raise ConfigError(f"config {name!r} is unknown; give a file, or one of {known}")
    path = Path(name)
    if not path.is_file():
        advice = f"--config={path.stem}" if path.stem in packaged else "--config=demo"
        raise ConfigError(f"config file {name!r} does not exist; try {advice}")
    return path


def read_file(path: Path, argument: str = "") -> ConfigDict:
    """What get_config of a config file returns.

    Raises:
      ConfigError: the file cannot be run, or returns something else.
    """
    try:
        found = _call(_module(path), path, argument)
    except UserError:
        raise
    except Exception as error:  # a config file may do anything
        raise ConfigError(f"{_place(path, error)}: {_reason(error)}") from error
    if isinstance(found, ConfigDict):
        return found
    if isinstance(found, Mapping):
        return ConfigDict(dict(found))
    raise ConfigError(f"{path}: get_config returns {type(found).__name__}; it must be a ConfigDict")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mdmf_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file; a config file ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(module: ModuleType, path: Path, argument: str) -> Any:
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise ConfigError(f"{path}: has no function get_config; see the packaged configs")
    if inspect.signature(get_config).parameters:
        return get_config(argument)
    if argument:
        raise ConfigError(f"{path}: takes no argument, but {argument!r} is given")
    return get_config()


def _place(path: Path, error: Exception) -> str:
    """The file, and the line in it if that is known."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{path}, line {line}" if line else str(path)


def _reason(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")
