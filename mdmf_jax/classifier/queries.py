"""Labelled videos against a support set: their logits, with groups kept apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdmf_jax.classifier.clips import BadVideo
from mdmf_jax.classifier.encoding import Encoded
from mdmf_jax.classifier.support import SupportSet, query_logits, taken
from mdmf_jax.data.protocols.groups import Groups
from mdmf_jax.evaluation.compiled_method import CompiledMethod


class Labelled(NamedTuple):
    """Labelled videos and their logits.

    Attributes:
      logits: [N, W].
      truth, sources: label and origin of each [N].
      in_support: sources of those that are support videos too, by their content.
      untested: videos left out, since without their group a class has no video.
    """

    logits: np.ndarray
    truth: list[str]
    sources: list[str]
    in_support: list[str]
    untested: list[BadVideo]


def labelled_logits(
    stages: CompiledMethod,
    support: SupportSet,
    encoded: Encoded,
    truth: Sequence[str],
    sources: Sequence[str],
    groups: Groups | None = None,
) -> Labelled:
    """Logits of encoded videos [N], each against the support videos of other groups.

    Args:
      groups: None compares each with all support videos.
    """
    own = groups.of_all(sources) if groups else [""] * len(truth)
    there = _support_groups(support, groups)
    logits = np.zeros((len(truth), len(support.classes)))
    untested: list[BadVideo] = []
    for group in sorted(set(own)):
        rows = [i for i, name in enumerate(own) if name == group]
        barred = (there == group) & bool(group)
        if not (support.mask & ~barred).any(1).all():
            untested += [BadVideo(sources[i], _why(sources[i], group)) for i in rows]
            continue
        logits[rows] = query_logits(stages, support, taken(encoded.features, rows), barred)
    left = {bad.source for bad in untested}
    kept = [i for i, source in enumerate(sources) if source not in left]
    digests = set(support.digests) - {""}
    return Labelled(
        logits[kept],
        [truth[i] for i in kept],
        [sources[i] for i in kept],
        [sources[i] for i in kept if encoded.digests[i] in digests],
        untested,
    )


def _support_groups(support: SupportSet, groups: Groups | None) -> np.ndarray:
    """Names of the support videos' groups [W, K]: those of `fit`, or else by `groups`."""
    names = support.group_names
    if groups and not any(names):
        names = [groups.of(source) for source in support.sources]
    table = np.full(support.mask.shape, "", object)
    table[support.mask] = names
    return table


def _why(source: str, group: str) -> str:
    return f"{source}: without the support clips of its group {group!r} a class has none left"
