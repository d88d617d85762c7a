"""The stages of a method, each compiled for a few sizes, for supports and queries of any number.

Numbers of videos, classes and shots are rounded up: a support set that grows by a class or a
video seldom needs a new program. What fills up are copies, which a mask or a cut takes away.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.layers.adapter import EpisodeSizes

Features = Mapping[str, np.ndarray]

BATCHES = (1, 8)  # videos encoded at once
QUERIES = (1, 32)  # queries matched at once
CLASSES = (8, 16, 32, 64, 128, 256)
SHOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class CompiledMethod:
    """A model with its parameters, ready to run on any numbers of videos, classes and shots."""

    def __init__(self, model: FewShotModel, params: Params):
        self.model = model
        self._params, self._fixed = jax.device_put((params, model.fixed))
        self._encode = jax.jit(model.stage("encode"))
        self._together = jax.jit(partial(_together, model))
        self._texts = jax.jit(
            lambda params, fixed, ids, mask: model.class_texts(params, ids, mask, fixed=fixed)
        )
        self._scores = jax.jit(model.stage("class_text_logits"))
        choose = model.stage("choose_prompts")
        self._probability = jax.jit(lambda params, s: choose(params, s, s.argmax(-1))[1])
        self._supports = jax.jit(model.stage("encode_support"))
        self._queries = jax.jit(model.stage("encode_query"))
        match = model.stage("match")
        self._match = jax.jit(
            lambda params, s, q, t, mask: match(params, s, q, t, support_mask=mask)[0]
        )
        self._explain = jax.jit(
            lambda params, s, q, t, mask: match(params, s, q, t, support_mask=mask)
        )

    @property
    def params(self) -> Params:
        """Parameters on the device."""
        return self._params

    @property
    def chooses_prompts(self) -> bool:
        """Whether a query is given the text of one of the classes."""
        return self.model.method.chooses_prompts

    @property
    def independent_classes(self) -> bool:
        """Whether the logit of a class depends on that class and the query only."""
        return self.model.method.independent_classes

    @property
    def alone(self) -> bool:
        """Whether each video is encoded by itself, also those of the support set."""
        return self.model.encoder.unit == "video"

    def together(self, clips: Mapping[str, np.ndarray]) -> Features:
        """Features of support videos that see each other, the mean over the V clips of each.

        Modality -> uint8 [N, V, T, H, W, C] to name -> float32 [N, ...].
        """
        return jax.tree.map(np.asarray, self._together(self._params, dict(clips)))

    def features(self, clips: Mapping[str, np.ndarray]) -> Features:
        """Features of clips: modality -> uint8 [N, T, H, W, C] to name -> float32 [N, ...]."""
        return _in_parts(lambda part: self._encode(self._params, part), BATCHES, dict(clips))

    def texts(self, texts: Sequence[Sequence[str]], cut: bool = False) -> np.ndarray:
        """Text features of classes, see `FewShotModel.class_texts`, float32 [C, D] or [C, M, D].

        Args:
          texts: of each class.
          cut: see `FewShotModel.token_ids`.
        """
        ids, mask = self.model.token_ids(texts, cut=cut)
        return _in_parts(
            lambda part: self._texts(self._params, self._fixed, *part), BATCHES, (ids, mask)
        )

    def class_text_logits(self, features: Features, table: np.ndarray) -> np.ndarray:
        """How well each text suits each video: features [N, ...], [C, D] -> [N, C]."""
        texts = _pad(table, _size(len(table), CLASSES))
        scores = _in_parts(lambda part: self._scores(self._params, part, texts), QUERIES, features)
        return np.asarray(scores)[:, : len(table)]

    def prompt_probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of the prompts [Q, C] of scores [Q, C]."""
        return np.asarray(self._probability(self._params, scores))

    def encode_support(self, features: Features, texts: np.ndarray) -> Any:
        """What `match` needs of support videos [N, ...] with texts [N, D], a tree [N, ...]."""
        return self._outputs(self._supports, features, texts)

    def encode_query(self, features: Features, texts: np.ndarray | None) -> Any:
        """The same of queries; `texts` are those chosen for them, if the method chooses any."""
        return self._outputs(self._queries, features, texts)

    def match(
        self, supports: Any, queries: Any, text_features: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """Logits [Q, W] from trees [W, K, ...] and [Q, ...], texts [W, D], mask [W, K]."""
        way, shot = mask.shape
        # Other methods see all classes at once, and would see the copies.
        ways = _size(way, CLASSES) if self.independent_classes else way
        shots = _size(shot, SHOTS)
        padded = jax.tree.map(lambda x: _pad(_pad(x, shots, 1), ways), supports)
        texts = _pad(text_features, ways)
        full = np.zeros((ways, shots), bool)
        full[:way, :shot] = mask
        full[way:] = full[:1]  # copies of the first class, which are cut off
        logits = _in_parts(
            lambda part: self._match(self._params, padded, part, texts, full), QUERIES, queries
        )
        return self._as_logits(logits[:, :way])

    def explain(
        self, supports: Any, query: Any, text_features: np.ndarray, mask: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits [1, W] and all diagnostics of one query, a tree [1, ...]."""
        logits, diagnostics = self._explain(self._params, supports, query, text_features, mask)
        return self._as_logits(np.asarray(logits)), jax.tree.map(np.asarray, diagnostics)

    def _as_logits(self, logits: np.ndarray) -> np.ndarray:
        if not self.model.method.gives_probabilities:
            return logits
        return np.log(np.maximum(logits, np.finfo(np.float32).tiny))  # they were probabilities

    def _outputs(self, stage, features, texts) -> Any:
        if texts is None:
            return _in_parts(lambda x: stage(self._params, x, None), QUERIES, dict(features))
        return _in_parts(lambda pair: stage(self._params, *pair), QUERIES, (dict(features), texts))


def _together(model: FewShotModel, params: Params, clips: Mapping[str, jax.Array]) -> Any:
    sizes = EpisodeSizes(len(next(iter(clips.values()))), 1)
    encode = jax.vmap(lambda videos: model.encode(params, videos, episode=sizes), 1, 1)
    return jax.tree.map(lambda x: x.mean(1), encode(clips))


def _in_parts(function, sizes: tuple[int, ...], tree: Any) -> Any:
    """`function` on parts of a tree [N, ...], joined again; the sizes of parts are few.

    As many parts as possible have the largest size; the rest is one padded part, or single
    ones if they are so few that this costs less.
    """
    count, large = len(jax.tree.leaves(tree)[0]), sizes[-1]
    results, start = [], 0
    while start < count:
        left = count - start
        size = large if left > large // 4 else sizes[0]
        taken = min(size, left)
        part = jax.tree.map(lambda x: _pad(x[start : start + taken], size), tree)  # noqa: B023
        results.append(jax.tree.map(lambda x: np.asarray(x)[:taken], function(part)))  # noqa: B023
        start += taken
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def _pad(x: Any, size: int, axis: int = 0) -> np.ndarray:
    """An array with copies of its first row along an axis, until it has `size` rows."""
    x = np.asarray(x)
    missing = size - x.shape[axis]
    if missing <= 0:
        return x
    first = np.take(x, [0], axis)
    return np.concatenate([x, np.repeat(first, missing, axis)], axis)


def _size(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of the sizes that is enough; beyond them the count itself."""
    return next((size for size in sizes if size >= count), count)
