"""The stages of a method, each compiled for a few sizes, for supports and queries of any number.

Numbers of videos, classes and shots are rounded up: a support set that grows by a class or a
video seldom needs a new program. What fills up are copies, which a mask or a cut takes away.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.weights.huggingface import LoadedCLIP

BATCHES = (1, 8)  # videos encoded at once
QUERIES = (1, 32)  # queries matched at once
CLASSES = (8, 16, 32, 64, 128, 256)
SHOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class CompiledMethod:
    """An encoder and a method with their parameters.

    Args:
      clip: the encoders.
      head_params: parameters of the method.
      kind: how pixels are normalised; see `normalise`.
    """

    def __init__(self, clip: LoadedCLIP, method: FewShotMethod, head_params: Any, kind: str):
        self._method, self._tokenizer = method, clip.tokenizer
        self._length = clip.config.text.max_position_embeddings
        self._encoder, self._text_params, self._head = jax.device_put(
            (
                {name: clip.params[name] for name in ("vision_model", "visual_projection")},
                {name: clip.params[name] for name in ("text_model", "text_projection")},
                head_params,
            )
        )
        vision, text = CLIPVision(clip.config), CLIPText(clip.config)

        def encode(params, frames):
            return vision.apply({"params": params}, normalise(frames, kind))

        def stage(function):
            return jax.jit(
                lambda params, *arguments: method.apply(
                    {"params": params}, *arguments, method=function
                )
            )

        self._encode = jax.jit(encode)
        self._text = jax.jit(lambda params, ids: text.apply({"params": params}, ids))
        self._scores = stage(lambda m, *arguments: m.class_text_logits(*arguments))
        self._probability = stage(lambda m, scores: m.choose_prompts(scores, scores.argmax(-1))[1])
        self._supports = stage(lambda m, *arguments: m.encode_support(*arguments))
        self._queries = stage(lambda m, *arguments: m.encode_query(*arguments))
        self._match = stage(lambda m, s, q, p, mask: m.match(s, q, p, support_mask=mask)[0])
        self._explain = stage(lambda m, s, q, p, mask: m.match(s, q, p, support_mask=mask))

    @property
    def chooses_prompts(self) -> bool:
        """Whether a query is given the text of one of the classes."""
        return self._method.chooses_prompts

    def features(self, clips: np.ndarray) -> np.ndarray:
        """Frame features of clips: uint8 [N, T, H, W, 3] -> float32 [N, T, D]."""
        count, frames, *pixels = clips.shape

        def encode(part):
            encoded = self._encode(self._encoder, part.reshape(-1, *pixels))
            return encoded.reshape(len(part), frames, -1)

        return np.asarray(_in_parts(encode, BATCHES, clips), np.float32)

    def texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Text features of prompts, not normalised, float32 [N, D]."""
        ids = np.asarray(self._tokenizer(list(prompts), self._length))
        return _in_parts(lambda part: self._text(self._text_params, part), BATCHES, ids)

    def class_text_logits(self, videos: np.ndarray, table: np.ndarray) -> np.ndarray:
        """How well each text suits each video: [N, T, D], [C, D] -> [N, C]."""
        texts = _pad(table, _size(len(table), CLASSES))
        scores = _in_parts(lambda part: self._scores(self._head, part, texts), QUERIES, videos)
        return np.asarray(scores)[:, : len(table)]

    def prompt_probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of the prompts [Q, C] of scores [Q, C]."""
        return np.asarray(self._probability(self._head, scores))

    def encode_support(self, videos: np.ndarray, texts: np.ndarray) -> Any:
        """What `match` needs of support videos [N, T, D] with texts [N, D], a tree [N, ...]."""
        return self._outputs(self._supports, videos, texts)

    def encode_query(self, videos: np.ndarray, texts: np.ndarray | None) -> Any:
        """The same of queries; `texts` are their prompts, if the method chooses any."""
        return self._outputs(self._queries, videos, texts)

    def match(
        self, supports: Any, queries: Any, prompts: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """Logits [Q, W] from trees [W, K, ...] and [Q, ...], prompts [W, D], mask [W, K]."""
        way, shot = mask.shape
        # Methods that turn their logits into probabilities see all classes at once.
        ways = _size(way, CLASSES) if self.independent_classes else way
        shots = _size(shot, SHOTS)
        padded = jax.tree.map(lambda x: _pad(_pad(x, shots, 1), ways), supports)
        texts = _pad(prompts, ways)
        full = np.zeros((ways, shots), bool)
        full[:way, :shot] = mask
        full[way:] = full[:1]  # copies of the first class, which are cut off
        logits = _in_parts(
            lambda part: self._match(self._head, padded, part, texts, full), QUERIES, queries
        )
        return self._as_logits(logits[:, :way])

    def explain(
        self, supports: Any, query: Any, prompts: np.ndarray, mask: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits [1, W] and all diagnostics of one query, a tree [1, ...]."""
        logits, diagnostics = self._explain(self._head, supports, query, prompts, mask)
        return self._as_logits(np.asarray(logits)), jax.tree.map(np.asarray, diagnostics)

    @property
    def independent_classes(self) -> bool:
        """Whether the logit of a class depends on that class and the query only."""
        return getattr(self._method.config, "at_test", "plain") == "plain"

    def _as_logits(self, logits: np.ndarray) -> np.ndarray:
        if self.independent_classes:
            return logits
        return np.log(np.maximum(logits, np.finfo(np.float32).tiny))  # they were probabilities

    def _outputs(self, stage, videos, texts) -> Any:
        if texts is None:
            return _in_parts(lambda v: stage(self._head, v, None), QUERIES, videos)
        return _in_parts(lambda pair: stage(self._head, *pair), QUERIES, (videos, texts))


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
