"""The page of a fitted classifier: verdict, warnings, and the frames of every clip."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.classifier.looks import nearest_wrong, support_warnings
from mdmf_jax.classifier.support import SupportSet
from mdmf_jax.classifier.verdict import LeftOut, Verdict
from mdmf_jax.errors import DataError
from mdmf_jax.report.page import page_of
from mdmf_jax.report.strips import frame_strip
from mdmf_jax.report.tables import Section, name, table

if TYPE_CHECKING:
    from mdmf_jax.classifier.classifier import FewShotClassifier


def write_fit_page(file: files.Name, classifier: "FewShotClassifier", notes: tuple = ()) -> None:
    """Writes the page of a fitted classifier as one HTML file.

    Args:
      notes: further warnings, such as `classifier.notes_`.

    Raises:
      DataError: there are no classes yet, or the file cannot be written.
    """
    verdict = classifier.verdict_
    assert verdict is not None  # only older saved models have none
    files.write_whole(file, fit_page(classifier.support_, verdict, notes), DataError)


def fit_page(support: SupportSet, verdict: Verdict, notes: tuple = ()) -> str:
    """The page of a support set and the verdict on it."""
    sections = [
        _verdict_section(support, verdict),
        _warning_section([*support_warnings(support, verdict), *notes]),
        _confusion_section(support, verdict),
        _clip_section(support, verdict),
    ]
    title = f"What was learnt of {len(support.classes)} classes"
    return page_of(title, verdict.line(), sections)


def _verdict_section(support: SupportSet, verdict: Verdict) -> Section:
    tiles = [("verdict", verdict.word, "")]
    if verdict.videos:
        count = len(verdict.videos)
        below = f"of {count} clips, {count / verdict.way:.3g} by chance"
        tiles.append(("recognised", str(verdict.right), below))
    per_class, rows = verdict.per_class(), []
    for label, class_ in support.classes.items():
        right, judged = per_class.get(label, (0, 0))
        told = f"{right} of {judged}" if judged else "cannot be judged"
        rows.append([name(label), name(class_.prompt), str(len(class_.sources)), told])
    headers = ["class", "text", "clips", "recognised"]
    data = {"tiles": tiles, "table": table("Classes", headers, rows, "stacked")}
    return Section("verdict", "Verdict", "Verdict", "verdict.html.jinja", data)


def _warning_section(lines: list[str]) -> Section | None:
    if not lines:
        return None
    data = {"lines": lines}
    return Section("warnings", "Warnings", "Look at these", "warnings.html.jinja", data)


def _confusion_section(support: SupportSet, verdict: Verdict) -> Section | None:
    if not verdict.confusions():
        return None
    rows = [[name(label), name(taken), str(n)] for label, taken, n in verdict.confusions()]
    found = table("Clips that were not recognised", ["class", "taken for", "clips"], rows)
    data = {"tables": [found], "folded": [], "note": ""}
    return Section("confusions", "Confusions", "What was taken for what", "tables.html.jinja", data)


def _clip_section(support: SupportSet, verdict: Verdict) -> Section:
    judged = {(video.label, video.source): video for video in verdict.videos}
    others = "not judged: the verdict is on other clips"
    unjudged = "could not be left out" if verdict.origin == "leave_one_out" else others
    groups = [
        {
            "name": label,
            "clips": [
                _clip(support, source, frames, judged.get((label, source)), unjudged)
                for source, frames in zip(class_.sources, class_.pictures, strict=True)
            ],
        }
        for label, class_ in support.classes.items()
    ]
    return Section("clips", "Clips", "All clips", "clips.html.jinja", {"classes": groups})


def _clip(
    support: SupportSet, source: str, frames: np.ndarray, video: LeftOut | None, unjudged: str
) -> Mapping[str, Any]:
    told = {"name": source, "address": frame_strip(frames), "wrong": False, "taken": "", "like": ""}
    if video is None:
        return told | {"words": unjudged}
    if video.nearest == video.label:
        return told | {"words": f"recognised, by a margin of {video.margin:.3g}"}
    like = nearest_wrong(support, video)
    words = f"margin {video.margin:.3g}; "
    return told | {"wrong": True, "taken": video.nearest, "like": like, "words": words}
