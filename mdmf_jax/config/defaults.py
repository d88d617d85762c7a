"""The default settings as an ml_collections ConfigDict, for config files to change.

from mdmf_jax.config import defaults

def get_config(arg=""):
    config = defaults.get_config(arg)
    config.train.steps = 100
    return defaults.apply_argument(config, arg)
"""

from collections.abc import Iterator
from typing import Any, get_origin

from ml_collections.config_dict import ConfigDict, placeholder

from mdmf_jax.config import renamed
from mdmf_jax.config.fields import SAME
from mdmf_jax.config.schema import all_sections, options
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.registry import method_class

# A ConfigDict; the types of ml_collections do not tell its sections from its values.
NestedSettings = Any

# What may stand after the colon of --config=FILE:..., and the setting it changes.
ARGUMENTS = {
    "variant": "variant",
    "method": "method",
    "encoder": "encoder.name",
    "adapter": "encoder.adapter",
    "matcher": "mdmf.matcher",
    "backbone": "encoder.path",
    "seed": "seed",
    "way": "episode.way",
    "shot": "episode.shot",
}

# Usual folders of the CLIPs, made by `mdmf import CLIP_FILE FOLDER`.
BACKBONES = {"rn50": "weights/clip-rn50", "vit_b16": "weights/clip-vit-b16"}


class SettingsDict(ConfigDict):
    """A ConfigDict that knows the old names of its sections, so that older files go on working."""

    def __getitem__(self, key: str) -> Any:
        fresh = renamed.SECTIONS.get(key, key)
        if fresh != key and fresh in self and key not in self:
            renamed.warn({key: fresh})
            return super().__getitem__(fresh)
        return super().__getitem__(key)


def get_config(arg: str = "") -> ConfigDict:
    """All settings with their defaults. None means: as the variant says.

    Args:
      arg: such as "shot=5,variant=reference"; see `apply_argument`.

    Raises:
      ConfigError: as `apply_argument`.
    """
    config: NestedSettings = SettingsDict()
    for path, field, kind in options(all_sections()):
        section, _, name = path.rpartition(".")
        if section not in config and section:
            config[section] = ConfigDict()
        (config[section] if section else config)[name] = _default(field, kind)
    return apply_argument(config, arg)


def choose_method(config: NestedSettings, name: str) -> None:
    """Sets the method; an encoder that was the last method's own becomes that of this one.

    Raises:
      ConfigError: no such method.
    """
    before = method_class(config.method).own_encoder
    config.method = name
    if config.encoder.get("name") == before:
        choose_encoder(config, method_class(name).own_encoder)


def apply_argument(config: NestedSettings, arg: str) -> ConfigDict:
    """Sets what an argument such as "shot=5,variant=reference" says.

    Raises:
      ConfigError: an unknown name, or a value of the wrong type.
    """
    for item in filter(None, arg.split(",")):
        name, _, value = item.partition("=")
        if name not in ARGUMENTS or not value:
            known = ", ".join(f"{key}=..." for key in ARGUMENTS)
            raise ConfigError(f"config argument {item!r} is unknown; known: {known}")
        try:
            _apply(config, name, value)
        except ConfigError as error:
            raise ConfigError(f"config argument {item!r}: {error}") from None
    return config


def choose_encoder(config: NestedSettings, name: str) -> None:
    """Gives the section `encoder` the options of an encoder.

    Options that the one before has as well keep values that were set; its own defaults go.

    Raises:
      ConfigError: no such encoder.
    """
    old = config.encoder
    if old.get("name") == name:
        return
    made: NestedSettings = ConfigDict()
    before = dict(_encoder_defaults(old.name))
    for option, default in _encoder_defaults(name):
        made[option] = default
        if option in old and old[option] != before.get(option):
            with made.ignore_type():
                made[option] = old[option]
    made.name = name
    config.encoder = made


def _encoder_defaults(name: str) -> Iterator[tuple[str, Any]]:
    """Options of an encoder with their defaults."""
    for path, field, kind in options({"encoder": all_sections(name)["encoder"]}):
        if "." in path:
            yield path.rpartition(".")[2], _default(field, kind)


def _apply(config: NestedSettings, name: str, value: str) -> None:
    path = ARGUMENTS[name]
    if name == "encoder":
        choose_encoder(config, value)
        return
    if name == "method":
        choose_method(config, value)
        return
    if name == "backbone":
        if value not in BACKBONES:
            raise ConfigError(f"{value!r} is unknown; known: {', '.join(BACKBONES)}")
        value = BACKBONES[value]
    fresh = renamed.new_value(path, value)
    if fresh != value:
        renamed.warn({f"{path}={value}": f"{path}={fresh}"})
    section, _, setting = path.rpartition(".")
    target = config[section] if section else config
    if setting not in target:
        raise ConfigError(f"the encoder {config.encoder.name} has no setting {path}")
    kind = type(target[setting])
    try:
        target[setting] = kind(fresh)
    except ValueError:
        raise ConfigError(f"{value!r} is not of type {kind.__name__}") from None


def _default(field: Any, kind: Any) -> Any:
    if field.metadata.get("reference", SAME) is SAME:
        return field.default
    return placeholder(_plain_type(kind))


def _plain_type(kind: Any) -> type:
    origin = get_origin(kind)
    if origin is tuple:
        return tuple
    return str if origin is not None else kind
