"""FewShotClassifier: learn from a handful of labelled videos, label others.

from mdmf_jax.classifier import FewShotClassifier

classifier = FewShotClassifier.from_pretrained("runs/demo").fit("support")
classifier.predict(["a.mp4", "b.mp4"])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.classifier.bundle import Saved, load_bundle, save_bundle
from mdmf_jax.classifier.clips import describe, several, timed_frames
from mdmf_jax.classifier.explanation import explain_query
from mdmf_jax.classifier.fitted import Fitted
from mdmf_jax.classifier.folders import by_class
from mdmf_jax.classifier.judging import judge_validation
from mdmf_jax.classifier.model import pretrained
from mdmf_jax.classifier.packaged import demo_warning
from mdmf_jax.classifier.scoring import UNKNOWN, Prediction, evaluation, prediction
from mdmf_jax.classifier.spans import spans_of
from mdmf_jax.classifier.support import SupportClass, SupportSet, support_classes
from mdmf_jax.classifier.texts import texts_of_classes
from mdmf_jax.classifier.windows import Span, check_window, cut_windows
from mdmf_jax.data.protocols.groups import Groups, read_groups
from mdmf_jax.errors import DataError


class FewShotClassifier(Fitted):
    """Any method on any encoder, in the manner of scikit-learn.

    A video is the path of a file or of a folder of images, or frames uint8 [N, H, W, 3]. Videos
    with fewer frames than the model takes repeat frames. Where `on_error` is "skip", a video
    that cannot be used is passed over and listed in `skipped_`; with "raise" it is a DataError.

    Attributes:
      skipped_: videos that the last call passed over, as (source, reason).
      notes_: lines of the last call on what was unusual.
    """

    @classmethod
    def from_pretrained(
        cls,
        path: files.Name,
        method: str | None = None,
        encoder: files.Name | None = None,
        **options: Any,
    ) -> "FewShotClassifier":
        """A classifier without classes; call `fit` next.

        Args:
          path: the folder of a run of `mdmf train`, one of its checkpoints, or a CLIP: a name
            such as "vit_b16" or "openai/clip-vit-base-patch16", which is fetched if it is not
            here, its folder or its file; "packaged:demo" is the small one of the package.
          method: for a CLIP alone: "otam", "mean_pool" or "zero_shot".
          encoder: for a run, where its encoder's files lie, if they have moved.

        Raises:
          UserError: files are missing, damaged or do not fit each other.
        """
        return cls(pretrained(path, method, encoder), **options)

    @classmethod
    def load(cls, folder: files.Name) -> "FewShotClassifier":
        """The classifier that `save` wrote.

        Raises:
          UserError: a file is missing, changed or does not fit the others.
        """
        saved = load_bundle(folder)
        made = saved.calibration
        classifier = cls(saved.model, score=made.score, target=made.target)
        classifier._support, classifier._calibration = saved.support, made
        classifier._verdict = saved.verdict
        return classifier

    def save(self, folder: files.Name) -> None:
        """Writes a folder that needs no checkpoint; whole or not at all.

        Raises:
          UserError: there are no classes yet, or the folder cannot be written.
        """
        save_bundle(folder, Saved(self._model, self._support, self.calibration_, self._verdict))

    def fit(
        self,
        videos: str | Path | Mapping[str, Sequence[Any]] | Sequence[Any],
        labels: Sequence[str] | None = None,
        prompts: Mapping[str, str | Sequence[str]] | None = None,
        *,
        groups: files.Name | Mapping[str, str] | None = None,
        on_error: str = "raise",
    ) -> "FewShotClassifier":
        """Learns the classes from labelled videos; classes may differ in their number.

        Args:
          videos: a folder with a folder for each class, the videos of each class by name, or a
            list with `labels`.
          prompts: text, or several, for classes whose name in words, in the model's prompt, does
            not do; see `texts_of_classes`.
          groups: a person or camera by clip, or a CSV file of that (clip,group). Where a clip is
            left out, its group is; see `read_groups`.

        Raises:
          DataError: fewer than 2 classes, a class without videos, or a bad video.
        """
        classes, others = by_class(videos, labels, on_error)
        for name in prompts or {}:
            if name not in classes:
                raise DataError(f"prompts: {name!r} is none of the classes {', '.join(classes)}")
        if len(classes) < 2:
            raise DataError(f"at least 2 classes are needed, there is only {', '.join(classes)}")
        self._support = SupportSet(self._learn(classes, prompts or {}, on_error))
        self._calibration = None
        self.skipped_ = others + self.skipped_
        if groups is not None:
            self._set_groups(read_groups(groups))
        return self

    def add_class(
        self,
        name: str,
        videos: Sequence[Any],
        prompt: str | Sequence[str] | None = None,
        *,
        on_error: str = "raise",
    ) -> "FewShotClassifier":
        """Adds a class; the others stay as they are, and the calibration is made anew.

        Raises:
          DataError: the name is taken, or no video can be used.
        """
        if name in self._support.classes:
            raise DataError(f"class {name!r} is there already; call remove_class first")
        prompts = {name: prompt} if prompt else {}
        self._support.classes |= self._learn({name: several(videos)}, prompts, on_error)
        self._calibration = None
        return self

    def remove_class(self, name: str) -> "FewShotClassifier":
        """Forgets a class; a DataError if there is none of that name."""
        if name not in self._support.classes:
            raise DataError(f"class {name!r} is none of {', '.join(self.classes_) or 'none'}")
        del self._support.classes[name]
        self._calibration = None
        return self

    def calibrate(
        self, videos: Any, labels: Sequence[str] | None = None, *, on_error: str = "raise"
    ) -> "FewShotClassifier":
        """Temperature and threshold from other videos than the support; inputs as for `fit`.

        Videos of classes that were not learnt tell how unknown ones score.

        Raises:
          DataError: no video of a learnt class can be used, or a bad video.
        """
        found = self._labelled(videos, labels, on_error)
        if not set(found.truth) & set(self.classes_):
            raise DataError("validation: holds no video of the classes " + ", ".join(self.classes_))
        self._calibration, self._verdict = judge_validation(
            *found[:3], self.classes_, self._score, self._target
        )
        return self

    def predict(self, videos: Any, *, on_error: str = "raise") -> np.ndarray:
        """Labels [N], "unknown" where none fits; None for a video passed over."""
        return np.array([a.label for a in self.predictions(videos, on_error=on_error)], object)

    def predict_proba(self, videos: Any, *, on_error: str = "raise") -> np.ndarray:
        """Probabilities [N, W] in the order of `classes_`; NaN for a video passed over."""
        logits, kept, count = self._logits(videos, on_error)
        posteriors = np.full((count, len(self.classes_)), np.nan)
        posteriors[kept] = self.calibration_.posteriors(logits)
        return posteriors

    def predictions(self, videos: Any, *, on_error: str = "raise") -> list[Prediction]:
        """Everything about each video; see `Prediction`."""
        videos = several(videos)
        logits, kept, _ = self._logits(videos, on_error)
        answers = [Prediction(describe(video)) for video in videos]
        for row, place in zip(logits, kept, strict=True):
            source = answers[place].source
            answers[place] = prediction(source, row, self.classes_, self.calibration_)
        return answers

    def score(self, videos: Any, labels: Sequence[str] | None = None) -> float:
        """Share of right labels; for a class that was not learnt, "unknown" is right."""
        return self.evaluate(videos, labels)["open_accuracy"]

    def evaluate(
        self,
        videos: Any,
        labels: Sequence[str] | None = None,
        *,
        groups: files.Name | Mapping[str, str] | None = None,
        on_error: str = "raise",
    ) -> dict[str, Any]:
        """Figures of labelled videos, inputs as for `fit`; see `scoring.evaluation`.

        Classes that were not learnt count as unknown. With `groups` a video is compared with
        support videos of other groups only. "in_support" lists videos that are support videos.
        """
        found = self._labelled(videos, labels, on_error, groups)
        if not found.truth:
            raise DataError("evaluate: there is not a video that can be used")
        figures = evaluation(found.logits, found.truth, self.classes_, self.calibration_)
        return figures | {"in_support": found.in_support}

    def search(
        self, video: Any, window: float = 2.0, stride: float | None = None, *, rate: float = 25.0
    ) -> list[Span]:
        """The spans of a long video that show one of the classes; see `merge_windows`.

        Args:
          window: length of the windows in seconds; about as long as one action.
          stride: distance of their starts in seconds; None for an eighth of the window.
          rate: frames a second of arrays and of folders of images, which hold no times.

        Raises:
          ConfigError: the stride is longer than the window, or one of them is not above 0.
          DataError: the video cannot be read.
        """
        stride = window / 8 if stride is None else stride
        check_window(window, stride)
        warning = demo_warning(self._model.settings.model.encoder, [video])
        self.notes_ = [warning] if warning else []
        calibration, frames = self.calibration_, timed_frames(video, rate)
        windows = cut_windows(frames, self._reader, window, stride)
        return spans_of(self._model.stages, self._support, calibration, windows)

    def explain(self, video: Any) -> dict[str, Any]:
        """Every number behind the label of one video; see `explain_query`.

        With "query_frames", small pictures of the video's frames, uint8 [T, h, w, 3].
        """
        calibration, stages = self.calibration_, self._model.stages
        encoded = self._encode([video], "raise", pictures=True)
        told = explain_query(stages, self._support, calibration, encoded.features)
        assert encoded.pictures is not None  # asked for above
        return told | {"query_frames": encoded.pictures[0]}

    def _learn(self, classes, prompts, on_error: str) -> dict[str, SupportClass]:
        if UNKNOWN in classes:
            raise DataError(f"a class cannot be called {UNKNOWN!r}; that says that none fits")
        videos = [video for some in classes.values() for video in some]
        settings = self._model.settings
        texts, lines = texts_of_classes(settings, classes, prompts)
        encoded = self._encode(videos, on_error, pictures=True)
        self.notes_ = [*self.notes_, *lines]
        return support_classes(self._model.stages, classes, texts, encoded, settings.texts.cut)

    def _set_groups(self, groups: Groups) -> None:
        given = iter(groups.of_all(self._support.sources))
        for class_ in self._support.classes.values():
            class_.groups = [next(given) for _ in class_.sources]
