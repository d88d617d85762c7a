"""Text features of the classes of all splits."""

import sys
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mdmf_jax.data.descriptions import Aliases, Bank, read_bank
from mdmf_jax.data.protocols.protocol import some
from mdmf_jax.data.settings import TextsSection
from mdmf_jax.model import FewShotModel, Params, Trained
from mdmf_jax.training.steps import ClassTexts


class ClassTable:
    """Texts of the classes, and their features for given parameters.

    They are made once, unless the encoder's parameters change them.

    Args:
      texts: of each class [C][M], by split.
      cut: see `FewShotModel.token_ids`.
    """

    def __init__(
        self,
        model: FewShotModel,
        texts: Mapping[str, Sequence[Sequence[str]]],
        cut: bool = False,
    ):
        self._model = model
        everything = [own for split in texts.values() for own in split]
        self._ids, self._mask = model.token_ids(everything, cut=cut)
        ends = np.cumsum([len(split) for split in texts.values()])
        self._rows = {
            name: slice(int(end) - len(split), int(end))
            for (name, split), end in zip(texts.items(), ends, strict=True)
        }
        self._changing = model.text_trained(lambda path: True)
        self._features: np.ndarray | None = None
        self._encode = jax.jit(
            lambda params, fixed, ids, mask: model.class_texts(params, ids, mask, fixed=fixed)
        )

    def features(self, params: Params, split: str) -> np.ndarray:
        """Text features of the classes of a split, not normalised [C, D] (or [C, M, D])."""
        found = self._features
        if found is None:
            used = {"encoder": params["encoder"]}
            found = self._encode(used, self._model.fixed, self._ids, self._mask)
            found = np.asarray(found)
            if not self._changing:
                self._features = found
        return found[self._rows[split]]

    def for_training(self, params: Params, trained: Trained, split: str = "train") -> ClassTexts:
        """What a train step needs: the features, or the texts where training changes those."""
        if not self._model.text_trained(trained):
            return ClassTexts(self.features(params, split))
        rows = self._rows[split]
        return ClassTexts(None, self._ids[rows], self._mask[rows], self._model.fixed)


def class_texts_of(prompt: str, names: Sequence[str]) -> list[list[str]]:
    """One text for each class: `prompt`, such as "a photo of {}", with its name."""
    return [[prompt.format(name)] for name in names]


def class_texts(
    section: TextsSection, prompt: str, classes: Mapping[str, Sequence[Aliases]]
) -> dict[str, list[list[str]]]:
    """Texts of the classes of each split, as the settings say: [C][M] by split.

    Classes of a bank that are in no split are named in a line on stderr, once.

    Args:
      section: the section `texts`.
      prompt: of the encoder, where the section asks for nothing else.
      classes: names that each class goes by; the first is the one in its texts.

    Raises:
      DataError: the bank is missing, broken, or lacks a class of one of the splits.
    """
    everything = [aliases for own in classes.values() for aliases in own]
    if section.descriptions:
        bank = read_bank(section.descriptions)
        found = bank.texts_of(everything)
        _note_extra(bank, everything)
        texts = [
            described(section, aliases[0], own)
            for aliases, own in zip(everything, found, strict=True)
        ]
    else:
        texts = [prompted(section, prompt, aliases[0]) for aliases in everything]
    ends = np.cumsum([len(own) for own in classes.values()])
    return {
        split: texts[int(end) - len(own) : int(end)]
        for (split, own), end in zip(classes.items(), ends, strict=True)
    }


def described(section: TextsSection, name: str, texts: Sequence[str]) -> list[str]:
    """Texts of a class from those of a bank."""
    return [section.sentence.replace("{class}", name).replace("{text}", own) for own in texts]


def prompted(section: TextsSection, prompt: str, name: str) -> list[str]:
    """Texts of a class from templates: those of the section, or the one prompt."""
    return [template.format(name) for template in section.prompts or (prompt,)]


_noted: set[str] = set()


def _note_extra(bank: Bank, classes: Sequence[Aliases]) -> None:
    extra = bank.extra(classes)
    if extra and bank.origin not in _noted:
        _noted.add(bank.origin)
        print(
            f"note: {bank.origin} has texts for classes that are in no split: {some(extra)}",
            file=sys.stderr,
        )
