"""Text features of the classes of all splits."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mdmf_jax.model import FewShotModel, Params, Trained
from mdmf_jax.training.steps import ClassTexts


class ClassTable:
    """Texts of the classes, and their features for given parameters.

    They are made once, unless the encoder's parameters change them.

    Args:
      texts: of each class [C][M], by split.
    """

    def __init__(self, model: FewShotModel, texts: Mapping[str, Sequence[Sequence[str]]]):
        self._model = model
        self._ids, self._mask = model.token_ids([own for split in texts.values() for own in split])
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
