"""Many episodes from stored features, in chunks of one size."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mdmf_jax.models.output import EpisodeOutput

# head(head parameters, support, query, prompts, **options) -> EpisodeOutput of one episode
Head = Callable[..., EpisodeOutput]


class EpisodeEvaluator:
    """Predictions for a table of episodes.

    Compiled once for each (way, shot, queries). The random draws of an episode depend on the
    key and its index only, so the size of the chunks changes nothing.

    Args:
      mesh: its axis `data` divides the episodes of a chunk.
      chunk: episodes computed at once; rounded up to a multiple of that axis.
    """

    def __init__(self, head: Head, mesh: Mesh, chunk: int):
        parts = mesh.shape["data"]
        self._chunk = -(-chunk // parts) * parts
        self._sharding = NamedSharding(mesh, P("data"))

        def episode(params, support, query, prompts, key):
            output = head(params, support, query, prompts, train=False, rngs={"prompt": key})
            answers = {"prediction": output.logits.argmax(-1)}
            if "prompt_choice" in output.diagnostics:
                answers["prompt_choice"] = output.diagnostics["prompt_choice"]
            return answers

        def chunk_answers(params, support, query, prompts, index, key):
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
            return jax.vmap(episode, in_axes=(None, 0, 0, 0, 0))(
                params, support, query, prompts, keys
            )

        self._answers = jax.jit(chunk_answers)

    def __call__(
        self,
        head_params: Any,
        features: np.ndarray,
        class_table: np.ndarray,
        episodes: Mapping[str, np.ndarray],
        key: jax.Array,
    ) -> dict[str, np.ndarray]:
        """Answers of N episodes: "prediction" [N, Q], and "prompt_choice" [N, Q] if the method
        chooses prompts; both are classes of the episode, 0..W-1.

        Args:
          features: of all videos of the part [V, T, D].
          class_table: text features of all classes of the part [C, D].
          episodes: class_ids [N, W], support [N, W, K] and query [N, Q] (video indices),
            index [N].
        """
        count, answers = len(episodes["index"]), []
        for start in range(0, count, self._chunk):
            # Repeating the last episode fills up the last chunk; the extra rows are dropped.
            rows = np.minimum(np.arange(start, start + self._chunk), count - 1)
            arrays = (
                features[episodes["support"][rows]],
                features[episodes["query"][rows]],
                class_table[episodes["class_ids"][rows]],
                episodes["index"][rows].astype(np.uint32),
            )
            placed = jax.device_put(arrays, self._sharding)
            if answers:  # At most two chunks wait on the device.
                jax.block_until_ready(answers[-1])
            answers.append(self._answers(head_params, *placed, key))
        return {
            name: np.concatenate([np.asarray(part[name]) for part in answers])[:count]
            for name in answers[0]
        }
