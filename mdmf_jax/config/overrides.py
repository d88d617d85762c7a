"""Settings from a command line, such as --config.train.steps=10, laid over a config."""

from collections.abc import Iterator, Sequence

from mdmf_jax.config import renamed
from mdmf_jax.config.convert import BOOLS, check_known, parse
from mdmf_jax.config.defaults import NestedSettings, choose_encoder, choose_method
from mdmf_jax.config.fields import SAME
from mdmf_jax.config.schema import all_sections, known_settings, options
from mdmf_jax.errors import ConfigError


def apply_overrides(config: NestedSettings, overrides: Sequence[str]) -> None:
    """Sets settings, each read as the type of its field; later ones win.

    None is a value where the variant decides.

    Args:
      overrides: "--config.train.steps=10", "train.steps=10", or the two texts
        "--config.train.steps", "10"; of a bool also "--config.data.cache" and
        "--noconfig.data.cache".

    Raises:
      ConfigError: an unknown setting, or a value of another type.
    """
    given = list(_pairs(overrides))
    known = known_settings()
    for path, _ in given:
        _check(path, known)
    # The method has an encoder of its own, and that decides which settings its section has.
    for path, text in given:
        if path == "method" and "name" in config.encoder:
            choose_method(config, text)
    for path, text in given:
        if path == "encoder.name":
            choose_encoder(config, text)
    kinds = {path: (field, kind) for path, field, kind in options(all_sections(_encoder(config)))}
    for path, text in given:
        section, _, name = path.rpartition(".")
        if path not in kinds:  # an option of another encoder
            check_known(
                name, [p.partition(".")[2] for p in kinds if p.startswith("encoder.")], section
            )
        field, kind = kinds[path]
        decided = field.metadata.get("reference", SAME) is not SAME
        try:
            value = None if decided and text == "None" else parse(text, kind, path)
        except ConfigError as error:
            raise ConfigError(f"--config.{path}={text}: {error}") from None
        with config.ignore_type():
            (config[section] if section else config)[name] = value


def _pairs(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(dotted name of today, text) of every override."""
    changed, waiting = {}, list(overrides)
    bools = {path for path, _, kind in options(all_sections()) if kind is bool}
    while waiting:
        argument = waiting.pop(0)
        name, equals, text = argument.partition("=")
        old = name.lstrip("-").removeprefix("config.").removeprefix("noconfig.")
        path = renamed.new_name(old)
        if not equals:
            text = _text(argument, path in bools, waiting)
        fresh = renamed.new_value(path, text)
        if path != old:
            changed[old] = path
        if fresh != text:
            changed[f"{path}={text}"] = f"{path}={fresh}"
        yield path, fresh
    renamed.warn(changed)


def _text(argument: str, is_bool: bool, waiting: list[str]) -> str:
    """The value of an argument without "=", which may be the next one."""
    if argument.lstrip("-").startswith("noconfig."):
        return "False"
    follows = bool(waiting) and not waiting[0].startswith("--")
    if is_bool and not (follows and waiting[0].lower() in BOOLS):
        return "True"
    if not follows:
        raise ConfigError(f"{argument} has no value; settings are written {argument}=VALUE")
    return waiting.pop(0)


def _check(path: str, known: dict[str, list[str]]) -> None:
    section, _, setting = path.partition(".")
    check_known(section, known[""])
    if setting:
        check_known(setting, known.get(section, ()), section)
    elif section in known:
        example = f"{section}.{known[section][0]}"
        raise ConfigError(f"{section} is a section; set one of its settings, such as {example}")


def _encoder(config: NestedSettings) -> str:
    return config.encoder.name if "name" in config.encoder else "clip"
