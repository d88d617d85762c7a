"""Many episodes from stored features: outputs of single videos first, then chunks of episodes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mdmf_jax.evaluation.stage_cache import StageCache
from mdmf_jax.model import FewShotModel

Arrays = Mapping[str, np.ndarray]
# watch(answers to the first episodes)
Watch = Callable[[Mapping[str, np.ndarray]], None]

_FEWEST_CLASSES = 8  # the table of class texts is filled up to a power of two
_VIDEOS = 256  # whose prompt scores are computed at once
_CACHE = 16 * 2**20  # bytes of outputs that a CPU matches at once, about what its caches hold


class EpisodeEvaluator:
    """Predictions for a table of episodes.

    What a method makes of one video (and one text) is computed once, however many episodes use
    it; the episodes gather it by index and are matched in chunks of one size. Compiled once for
    each (way, shot, queries). The random draws of an episode depend on the key and its index
    only, so the size of the chunks changes nothing.

    Args:
      model: the stages of its method are used.
      mesh: its axis `data` divides the episodes of a chunk.
      chunk: episodes computed at once; rounded up to a multiple of that axis.
      table_gib: memory for the outputs of videos; with more of them than fit, the episodes are
        done in groups, each with outputs of its own.
    """

    def __init__(self, model: FewShotModel, mesh: Mesh, chunk: int, table_gib: float = 8.0):
        parts = mesh.shape["data"]
        self._chunk = -(-chunk // parts) * parts
        self._sharding = NamedSharding(mesh, P("data"))
        self._limit = table_gib * 2**30
        self._chooses = model.method.chooses_prompts
        self._supports = StageCache(model.stage("encode_support"), mesh)
        self._queries = StageCache(model.stage("encode_query"), mesh)
        choose_prompts, match_stage = model.stage("choose_prompts"), model.stage("match")

        def choices(params, scores, index, key):
            def choose(scores, index):
                rngs = {"prompt": jax.random.fold_in(key, index)}
                return choose_prompts(params, scores, rngs=rngs)[0]

            return jax.vmap(choose)(scores, index)

        def matches(params, supports, queries, support, query, texts):
            def match(support, query, texts):
                # One gather for each shot: a mean over the shots then never writes them all.
                gathered = jax.tree.map(
                    lambda x: jnp.stack([x[videos] for videos in support.T], axis=1), supports
                )
                asked = jax.tree.map(lambda x: x[query], queries)
                return match_stage(params, gathered, asked, texts)[0].argmax(-1)

            one = _row_bytes(supports) * support[0].size + _row_bytes(queries) * query[0].size
            together = max(1, _CACHE // one)
            if jax.default_backend() == "cpu" and parts == 1 and together < len(query):
                # Outputs that leave the caches are read again from memory, several times slower.
                each = (support, query, texts)
                return jax.lax.map(lambda row: match(*row), each, batch_size=together)
            return jax.vmap(match)(support, query, texts)

        self._scores = jax.jit(model.stage("class_text_logits"))
        self._choices, self._matches = jax.jit(choices), jax.jit(matches)

    def __call__(
        self,
        head_params: Any,
        features: Arrays,
        class_texts: np.ndarray,
        episodes: Mapping[str, np.ndarray],
        key: jax.Array,
        watch: Watch | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers of N episodes: "prediction" [N, Q], and "prompt_choice" [N, Q] if the method
        chooses prompts; both are classes of the episode, 0..W-1.

        Args:
          features: of all videos of the split, name -> [V, ...].
          class_texts: text features of all classes of the split [C, D].
          episodes: class_ids [N, W], support [N, W, K] and query [N, Q] (video indices),
            index [N].
          watch: is given the answers to the first n episodes, again and again as n grows.
        """
        features = {name: np.asarray(x) for name, x in features.items()}
        class_texts = np.asarray(class_texts)
        params = {"head": head_params}
        classes, count = np.asarray(episodes["class_ids"]), len(episodes["index"])
        answers, texts, prompt = {}, None, np.zeros_like(episodes["query"])
        if self._chooses:
            choice = self._chosen(params, features, class_texts, episodes, key)
            answers["prompt_choice"] = choice
            texts, prompt = class_texts, np.take_along_axis(classes, choice, axis=1)
        inputs = (params, features, class_texts, texts)
        groups = self._groups(inputs, episodes, prompt, slice(0, count))
        predictions: list[np.ndarray] = []  # of the chunks
        for group in groups:
            for chunk in self._group(inputs, episodes, prompt, group):
                predictions.append(chunk)
                if watch:
                    done = np.concatenate(predictions)
                    watch({"prediction": done} | {n: a[: len(done)] for n, a in answers.items()})
        return {"prediction": np.concatenate(predictions)} | answers

    def _chosen(self, params, features, class_texts, episodes, key) -> np.ndarray:
        """The prompt of each query, as a class of its episode [N, Q]."""
        size = max(_FEWEST_CLASSES, 1 << (len(class_texts) - 1).bit_length())
        full = class_texts[np.minimum(np.arange(size), len(class_texts) - 1)]
        scores = [self._scores(params, part, full) for part in _parts(features, _VIDEOS)]
        scores = np.concatenate([np.asarray(part) for part in scores])[: _count(features)]
        asked = scores[episodes["query"][:, :, None], episodes["class_ids"][:, None, :]]
        rows = (asked, episodes["index"].astype(np.uint32))  # [N, Q, W], [N]
        return np.concatenate(
            list(self._by_chunks(lambda *part: self._choices(params, *part, key), rows))
        )

    def _groups(self, inputs, episodes, prompt, group: slice) -> Iterator[slice]:
        """Parts of the episodes whose outputs fit into the memory for them."""
        params, features, class_texts, texts = inputs
        queries, support = episodes["query"][group], episodes["support"][group]
        pairs = len(np.unique(queries * len(class_texts) + prompt[group]))
        needed = self._supports.num_bytes(
            params, features, class_texts, len(np.unique(support))
        ) + self._queries.num_bytes(params, features, texts, pairs)
        count = group.stop - group.start
        if needed <= self._limit or count <= self._chunk:
            yield group
            return
        middle = group.start + -(-count // 2 // self._chunk) * self._chunk
        yield from self._groups(inputs, episodes, prompt, slice(group.start, middle))
        yield from self._groups(inputs, episodes, prompt, slice(middle, group.stop))

    def _group(self, inputs, episodes, prompt, group: slice) -> Iterator[np.ndarray]:
        """Predictions of a group of episodes [n, Q], chunk after chunk."""
        params, features, class_texts, texts = inputs
        classes, support = episodes["class_ids"][group], episodes["support"][group]
        owners = np.broadcast_to(classes[:, :, None], support.shape)
        supports, support = self._supports(params, features, class_texts, support, owners)
        queries, query = self._queries(
            params, features, texts, episodes["query"][group], prompt[group]
        )
        rows = (support, query, class_texts[classes])
        return self._by_chunks(lambda *part: self._matches(params, supports, queries, *part), rows)

    def _by_chunks(self, function, arrays) -> Iterator[np.ndarray]:
        """The results of `function` for one chunk of rows after the other."""
        left, waiting = _count(arrays), None
        for part in _parts(arrays, self._chunk):
            result = function(*jax.device_put(part, self._sharding))
            if waiting is not None:  # At most two chunks wait on the device.
                yield np.asarray(waiting)
                left -= self._chunk
            waiting = result
        yield np.asarray(waiting)[:left]


def _parts(arrays: Any, size: int) -> Iterator[Any]:
    """Parts of so many rows of a tree [N, ...]; repeating the last row fills up the last."""
    count = _count(arrays)
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield jax.tree.map(lambda x: x[rows], arrays)  # noqa: B023


def _row_bytes(table: Any) -> int:
    """Bytes of one row of a tree [N, ...]."""
    return sum(x.dtype.itemsize * x[0].size for x in jax.tree.leaves(table))


def _count(arrays: Any) -> int:
    return len(jax.tree.leaves(arrays)[0])
