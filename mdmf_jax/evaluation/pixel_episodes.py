"""Episodes whose videos are encoded together: for encoders of the units support and episode."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mdmf_jax.evaluation.episodes import Watch
from mdmf_jax.evaluation.features.extractor import Read
from mdmf_jax.model import FewShotModel, Params

_CLIPS = 2048  # kept in memory, as many episodes show the same videos


class PixelEvaluator:
    """Predictions for a table of episodes, from pixels, an episode at a time on each device.

    Args:
      mesh: its axis `data` divides the episodes of a chunk.
      chunk: episodes read and computed at once; rounded up to a multiple of that axis.
      workers: threads that read videos.
    """

    def __init__(self, model: FewShotModel, mesh: Mesh, chunk: int, workers: int):
        parts = mesh.shape["data"]
        self._chunk = min(-(-chunk // parts) * parts, 8 * parts)
        self._workers = workers
        self._sharding = NamedSharding(mesh, P("data"))

        def answer(params, class_texts, support, query, class_ids, index, key):
            def run(support, query, class_ids, index):
                rngs = {"prompt": jax.random.fold_in(key, index)}
                episode = {"support": support, "query": query, "class_ids": class_ids}
                output = model.episode(params, episode, class_texts, rngs=rngs)
                found = {"prediction": output.logits.argmax(-1)}
                if "prompt_choice" in output.diagnostics:
                    found["prompt_choice"] = output.diagnostics["prompt_choice"]
                return found

            return jax.vmap(run)(support, query, class_ids, index)

        self._answer = jax.jit(answer)

    def __call__(
        self,
        params: Params,
        read: Read,
        class_texts: np.ndarray,
        episodes: Mapping[str, np.ndarray],
        key: jax.Array,
        features: Mapping[str, np.ndarray] | None = None,
        watch: Watch | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers of N episodes, as `EpisodeEvaluator` gives them.

        Args:
          read: number of a video -> its clip by modality; called from several threads.
          features: of all videos as queries, name -> [V, ...], for the unit "support"; without
            any, queries are read and encoded with the supports.
        """
        answers: list[dict[str, np.ndarray]] = []
        read = lru_cache(_CLIPS)(read)
        for rows, left in self._chunks(len(episodes["index"])):
            support, asked = self._clips(read, episodes["support"][rows]), episodes["query"][rows]
            query = {name: np.asarray(x)[asked] for name, x in (features or {}).items()}
            query = query or self._clips(read, asked)
            index = episodes["index"][rows].astype(np.uint32)
            arrays = (support, query, episodes["class_ids"][rows], index)
            placed = jax.device_put(arrays, self._sharding)
            found = self._answer(params, class_texts, *placed, key)
            answers.append({name: np.asarray(x)[:left] for name, x in found.items()})
            if watch:
                watch(_joined(answers))
        return _joined(answers)

    def _chunks(self, count: int) -> Iterator[tuple[np.ndarray, int]]:
        """Places of the episodes of each chunk, the last repeated, and how many are new."""
        for start in range(0, count, self._chunk):
            rows = np.arange(start, start + self._chunk)
            yield np.minimum(rows, count - 1), min(self._chunk, count - start)

    def _clips(self, read: Callable[[int], Any], videos: np.ndarray) -> dict[str, np.ndarray]:
        """Clips of videos [...], modality -> uint8 [..., T, H, W, C]."""
        with ThreadPoolExecutor(self._workers) as pool:
            clips = list(pool.map(read, videos.ravel().tolist()))
        return {
            name: np.stack([clip[name] for clip in clips]).reshape(
                *videos.shape, *clips[0][name].shape
            )
            for name in clips[0]
        }


def _joined(answers: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}
