"""Banks of descriptions: several texts for each class, from JSON or YAML files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdmf_jax import files
from mdmf_jax.data.protocols.protocol import SPLITS, some
from mdmf_jax.errors import DataError

# Banks that come with this package, by the name that stands for them.
PACKAGED = {"packaged:demo": Path(__file__).parents[1] / "assets/descriptions/demo.json"}
# Keys that hold a class's texts where there is more about it; the first is Task-Adapter++'s.
_LISTS = ("sub_act_en_li", "texts")
_ENDINGS = (".json", ".yml", ".yaml")

# Names that a class goes by; the first is the one that people read.
Aliases = Sequence[str]


class Bank:
    """Texts by class name. Case, spaces, underscores and other signs do not matter in names.

    Args:
      origin: the file or folder, for messages.
      texts: of each class.

    Raises:
      DataError: two names are the same class, with different texts.
    """

    def __init__(self, origin: str, texts: Iterable[tuple[str, Sequence[str]]]):
        self.origin = origin
        self._texts: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, str] = {}
        for name, own in texts:
            key = letters(name)
            if self._texts.get(key, tuple(own)) != tuple(own):
                raise DataError(
                    f"{origin}: has different texts for {self._names[key]!r} and {name!r}, which "
                    "are the same class"
                )
            self._texts[key], self._names[key] = tuple(own), name

    def find(self, aliases: Aliases) -> tuple[str, ...] | None:
        """Texts of the class with one of these names; None if there are none."""
        found = (self._texts.get(letters(name)) for name in aliases)
        return next((texts for texts in found if texts), None)

    def extra(self, classes: Iterable[Aliases]) -> list[str]:
        """Its classes that are none of these."""
        known = {letters(name) for aliases in classes for name in aliases}
        return [name for key, name in self._names.items() if key not in known]

    def texts_of(self, classes: Sequence[Aliases]) -> list[tuple[str, ...]]:
        """Texts of all these classes.

        Raises:
          DataError: a class has none; one line names these classes, and those of the bank that
            are none of the given.
        """
        found = [self.find(aliases) for aliases in classes]
        missing = [aliases[0] for aliases, own in zip(classes, found, strict=True) if not own]
        if missing:
            extra = self.extra(classes)
            raise DataError(
                f"{self.origin}: has no texts for {len(missing)} of {len(classes)} classes "
                f"({some(missing)}); its classes that are none of them: {some(extra) or 'none'}"
            )
        return [own for own in found if own]


def letters(name: str) -> str:
    """What of a class name counts."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def read_bank(path: str) -> Bank:
    """Reads a bank.

    A file holds {class: [texts]}, as TS-FSAR publishes them; {class: {"sub_act_en_li": [texts],
    ...}}, as Task-Adapter++; or one of these below "train", "val" and "test". Classes without any
    text are left out.

    Args:
      path: a file (.json, .yml, .yaml), a folder of such files, which are taken together, or a
        name of PACKAGED.

    Raises:
      DataError: there is no such file, or it is not of this form.
    """
    place = PACKAGED.get(path) or files.path(path)
    found = [place]
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if str(file).endswith(_ENDINGS))
        if not found:
            raise DataError(f"{path}: holds no file that ends in {', '.join(_ENDINGS)}")
    return Bank(path, [pair for file in found for pair in _pairs(file)])


def empty_bank(classes: Mapping[str, Sequence[str]], texts: int) -> dict[str, Any]:
    """A bank to be filled in: class names by split -> {split: {class: [""] * texts}}."""
    return {split: {name: [""] * texts for name in names} for split, names in classes.items()}


def _pairs(file: Any) -> list[tuple[str, list[str]]]:
    content = _content(file)
    if not isinstance(content, Mapping):
        raise DataError(f"{file}: must hold texts by class, such as {{class: [texts]}}")
    parts = [content]
    if content and set(content) <= set(SPLITS) and all(
        isinstance(part, Mapping) and not set(_LISTS) & set(part) for part in content.values()
    ):  # fmt: skip
        parts = list(content.values())
    return [
        (str(name), _texts(file, str(name), value))
        for part in parts
        for name, value in part.items()
    ]


def _texts(file: Any, name: str, value: Any) -> list[str]:
    """A class's texts that are not empty."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in _LISTS if key in value), None)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(
            f"{file}: {name!r} must have a list of texts, or an object with one called "
            f"{' or '.join(_LISTS)}"
        )
    return [text.strip() for text in value if text.strip()]


def _content(file: Any) -> Any:
    if not str(file).endswith((".yml", ".yaml")):
        return files.read_json(file, DataError)
    import yaml  # only such banks need it

    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file}: cannot be read as YAML ({reason})") from error


def bank_text(bank: Mapping[str, Any]) -> str:
    """A bank as JSON that people edit."""
    return json.dumps(bank, indent=2, ensure_ascii=False) + "\n"
