"""Texts of the classes that a classifier learns: given ones, those of a bank, or by template."""

from collections.abc import Iterable, Mapping, Sequence

from mdmf_jax.classifier.settings import Settings
from mdmf_jax.data.descriptions import read_bank
from mdmf_jax.data.protocols.splits import class_name
from mdmf_jax.errors import DataError
from mdmf_jax.evaluation.text import described, prompted

# A text of a class, or several.
Given = Mapping[str, str | Sequence[str]]


def texts_of_classes(
    settings: Settings, names: Iterable[str], given: Given
) -> tuple[list[list[str]], list[str]]:
    """Texts of classes [C][M], and lines on those that the model's bank does not know.

    A class that is not given has the texts of the bank that the model was trained with; one that
    is not in it, or a model without a bank, those that the model's templates make of its name.

    Args:
      names: of the classes, as the folders are called.
      given: texts by class.

    Raises:
      DataError: the bank is needed and cannot be read.
    """
    section, names = settings.texts, list(names)
    own = {
        name: [texts] if isinstance(texts, str) else list(texts) for name, texts in given.items()
    }
    rest = [name for name in names if not own.get(name)]
    if section.descriptions and rest:
        own |= _from_bank(settings, rest)
    unknown = [name for name in rest if not own.get(name)]
    own |= {name: prompted(section, settings.prompt, class_name(name)) for name in unknown}
    lines = [
        f"class {name!r} has no texts in {section.descriptions}; {own[name][0]!r} stands for it"
        for name in (unknown if section.descriptions else ())
    ]
    return [own[name] for name in names], lines


def _from_bank(settings: Settings, names: Sequence[str]) -> dict[str, list[str]]:
    section = settings.texts
    try:
        bank = read_bank(section.descriptions)
    except DataError as error:
        raise DataError(
            f"{error}; the model takes the texts of its classes from there: give those of "
            f"{names[0]!r} as prompts, or put the bank back"
        ) from error
    found = {name: bank.find((name, class_name(name))) for name in names}
    return {
        name: described(section, class_name(name), texts) for name, texts in found.items() if texts
    }
