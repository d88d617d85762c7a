"""A look at the support videos: twins, strangers, and classes that differ in their background."""

from pathlib import Path

import numpy as np

from mdmf_jax.classifier.leave_one_out import left_out
from mdmf_jax.classifier.support import SupportSet
from mdmf_jax.classifier.verdict import ALPHA, WORKS, LeftOut, Verdict, tail_probability
from mdmf_jax.data.transforms.geometry import resize_short_side

SIDE = 8  # pixels of the short side of the single frame: where is which colour
_MATES = 2 / 3  # share of a class that is recognised, where one that is not stands out


def support_warnings(support: SupportSet, verdict: Verdict | None) -> list[str]:
    """Lines on what a person should look at; none if all is well.

    Args:
      verdict: on the same support set; None leaves out what needs one.
    """
    lines = same_videos(support)
    if verdict is not None and verdict.videos and verdict.origin == "leave_one_out":
        lines += [background_line(support, verdict)] if _has_pictures(support) else []
        if verdict.word == WORKS:
            lines += [_outlier_line(support, video) for video in outliers(verdict)]
    return [line for line in lines if line]


def same_videos(support: SupportSet) -> list[str]:
    """A line for each video that is there twice, by its content."""
    first: dict[str, tuple[str, str]] = {}
    lines = []
    for name, class_ in support.classes.items():
        for source, digest in zip(class_.sources, class_.digests or [], strict=False):
            if digest in first:
                lines.append(_twins(*first[digest], name, source))
            first.setdefault(digest, (name, source))
    return lines


def background_line(support: SupportSet, verdict: Verdict) -> str:
    """A line if a single small frame tells the classes apart as well as the whole clips do; or "".

    The first frame of each video, 8 pixels high, left out as the videos were, gets the class
    whose mean it is nearest to.
    """
    labels, nearest = single_frame_answers(support)
    right = int((labels == nearest).sum())
    if right < verdict.right or tail_probability(labels, nearest, verdict.way) > ALPHA:
        return ""
    return (
        "your classes may differ in the background (the wall) and not in the action: the first "
        f"frame alone, {SIDE} pixels high, tells {right} of {len(labels)} clips apart, the whole "
        f"clips {verdict.right}; take clips of each class in front of the same backgrounds"
    )


def single_frame_answers(support: SupportSet) -> tuple[np.ndarray, np.ndarray]:
    """Labels and nearest classes [M] of the videos left out, by their first frames alone."""
    pictures = np.concatenate([c.pictures[:, 0] for c in support.classes.values()])
    small: np.ndarray = resize_short_side(pictures, SIDE).astype(np.float32)
    small = small.reshape(len(pictures), -1)
    table = np.zeros((*support.mask.shape, small.shape[1]), np.float32)
    table[support.mask] = small
    labels, nearest = np.nonzero(support.mask)[0], []
    numbers = []
    for number, rest in left_out(support):
        means = np.stack([table[i, rest[i]].mean(0) for i in range(len(table))])
        distances = np.square(means - small[number]).sum(-1)
        nearest.append(int(np.argmin(distances)))
        numbers.append(number)
    return labels[numbers], np.array(nearest, int)


def outliers(verdict: Verdict) -> list[LeftOut]:
    """Videos that are not recognised though most of their class are, the strangest first."""
    found = []
    for video in verdict.videos:
        right, count = verdict.per_class()[video.label]
        if video.nearest != video.label and count > 2 and right / (count - 1) >= _MATES:
            found.append(video)
    return sorted(found, key=lambda video: video.margin)


def nearest_wrong(support: SupportSet, video: LeftOut) -> str:
    """The video of the class that it was taken for whose mean frame is most like its own."""
    own, other = support.classes[video.label], support.classes[video.nearest]
    name = next(iter(own.features))
    here = own.features[name][own.sources.index(video.source)]
    cosines = _unit(_flat(other.features[name])) @ _unit(_flat(here[None]))[0]
    return other.sources[int(cosines.argmax())]


def _outlier_line(support: SupportSet, video: LeftOut) -> str:
    like = Path(nearest_wrong(support, video)).name
    return (
        f"{video.source} is unlike the other clips of {video.label!r}: left out, it is taken for "
        f"{video.nearest!r} (most like {like}); look whether it shows what it should"
    )


def _twins(label: str, twin: str, name: str, source: str) -> str:
    if label == name:
        return f"the same clip twice in {name!r}: {twin} and {source}; remove one"
    return (
        f"the same clip in two classes: {twin} ({label!r}) and {source} ({name!r}); one of them is "
        "wrong, remove it"
    )


def _has_pictures(support: SupportSet) -> bool:
    shapes = {c.pictures.shape[2:] for c in support.classes.values()}
    return len(shapes) == 1


def _flat(features: np.ndarray) -> np.ndarray:
    return features.mean(1).reshape(len(features), -1)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
