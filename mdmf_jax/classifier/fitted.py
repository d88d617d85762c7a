"""What a classifier holds: a model, support videos, and what was made of them."""

import numpy as np

from mdmf_jax.classifier.calibration import TARGET, Calibration
from mdmf_jax.classifier.clips import BadVideo, ClipReader, describe, several
from mdmf_jax.classifier.encoding import Encoded, encode_videos
from mdmf_jax.classifier.folders import by_class
from mdmf_jax.classifier.judging import judge_support
from mdmf_jax.classifier.looks import support_warnings
from mdmf_jax.classifier.model import Model
from mdmf_jax.classifier.packaged import demo_warning
from mdmf_jax.classifier.queries import Labelled, labelled_logits
from mdmf_jax.classifier.support import SupportSet, query_logits
from mdmf_jax.classifier.verdict import Verdict
from mdmf_jax.data.protocols.groups import read_groups
from mdmf_jax.errors import DataError


class Fitted:
    """A model and its classes; `FewShotClassifier` is what people use.

    Attributes:
      skipped_: videos that the last call passed over, as (source, reason).
      notes_: lines of the last call on what was unusual.
    """

    def __init__(self, model: Model, *, score: str = "best_logit", target: float = TARGET):
        """Takes a model.

        Args:
          score: what tells known from unknown; see `calibration.SCORES`.
          target: share of the videos of known classes that the threshold is meant to accept.
        """
        self._model = model
        modalities = model.few_shot.encoder.modalities
        self._reader = ClipReader(model.settings.clips, modalities=modalities)
        self._score, self._target = score, target
        self._support = SupportSet()
        self._calibration: Calibration | None = None
        self._verdict: Verdict | None = None
        self.skipped_: list[BadVideo] = []
        self.notes_: list[str] = []

    @property
    def classes_(self) -> list[str]:
        """Names of the classes, in the order of the columns of `predict_proba`."""
        return list(self._support.classes)

    @property
    def support_(self) -> SupportSet:
        """What is kept of the labelled videos; to be looked at and not changed."""
        return self._support

    @property
    def counts_(self) -> list[int]:
        """Number of videos of each class."""
        return self._support.counts

    @property
    def calibration_(self) -> Calibration:
        """Temperature and threshold; made from the support videos when first needed."""
        self._check_classes()
        if self._calibration is None:
            self._calibration, self._verdict = judge_support(
                self._model.stages, self._support, self._score, self._target
            )
        return self._calibration

    @property
    def verdict_(self) -> Verdict | None:
        """Whether anything was learnt, made with `calibration_`; None in an older saved model."""
        _ = self.calibration_
        return self._verdict

    @property
    def warnings_(self) -> list[str]:
        """Lines on the support videos that a person should look at; see `support_warnings`."""
        return support_warnings(self._support, self.verdict_)

    def _encode(self, videos, on_error: str, pictures: bool = False) -> Encoded:
        encoded = encode_videos(self._reader, self._model.stages, videos, on_error, pictures)
        self.skipped_, self.notes_ = encoded.skipped, encoded.notes
        kept = [videos[place] for place in encoded.kept]
        if warning := demo_warning(self._model.settings.model.encoder, kept):
            self.notes_ = [*self.notes_, warning]
        return encoded

    def _logits(self, videos, on_error: str) -> tuple[np.ndarray, list[int], int]:
        """Logits [N, W] of the videos that could be used, their places, and how many were given."""
        self._check_classes()
        videos = several(videos)
        encoded = self._encode(videos, on_error)
        if not encoded.kept:
            return np.zeros((0, len(self.classes_))), [], len(videos)
        logits = query_logits(self._model.stages, self._support, encoded.features)
        return logits, encoded.kept, len(videos)

    def _labelled(self, videos, labels, on_error: str, groups=None) -> Labelled:
        """Logits and labels of the labelled videos that could be used."""
        classes, others = by_class(videos, labels, on_error)
        truth = [name for name, some in classes.items() for _ in some]
        videos = [video for some in classes.values() for video in some]
        self._check_classes()
        encoded = self._encode(videos, on_error)
        found = labelled_logits(
            self._model.stages,
            self._support,
            encoded,
            [truth[place] for place in encoded.kept],
            [describe(videos[place]) for place in encoded.kept],
            None if groups is None else read_groups(groups),
        )
        self.skipped_ = others + self.skipped_ + found.untested
        return found

    def _check_classes(self) -> None:
        if len(self._support.classes) < 2:
            found = ", ".join(self.classes_) or "none"
            raise DataError(f"at least 2 classes are needed, there are: {found}; call fit first")
