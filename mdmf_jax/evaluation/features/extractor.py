"""Features of every video of a part, each video encoded once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# encode(encoder parameters, uint8 frames [N, H, W, 3]) -> features [N, D]
Encode = Callable[[Any, jax.Array], jax.Array]


class FeatureExtractor:
    """Encodes videos in batches of one size, so that the encoder is compiled once.

    Args:
      mesh: its axis `data` divides the batch.
      videos: in a batch; rounded up to a multiple of that axis.
      workers: threads that read videos.
    """

    def __init__(self, encode: Encode, mesh: Mesh, videos: int = 32, workers: int = 2):
        parts = mesh.shape["data"]
        self._videos = -(-videos // parts) * parts
        self._workers = workers
        self._sharding = NamedSharding(mesh, P("data"))
        self._encode = jax.jit(encode)

    def __call__(
        self, encoder_params: Any, read: Callable[[int], np.ndarray], count: int
    ) -> np.ndarray:
        """Features of the videos 0..count-1, float32 [count, T, D].

        Args:
          read: video index -> uint8 frames [T, H, W, 3]; called from several threads.
        """
        features = []
        for batch in self._batches(read, count):
            size, frames, *pixels = batch.shape
            # Repeating the last video fills up the last batch; the extra rows are dropped.
            padding = np.broadcast_to(batch[-1:], (self._videos - size, frames, *pixels))
            full = np.concatenate([batch, padding]).reshape(-1, *pixels)
            encoded = self._encode(encoder_params, jax.device_put(full, self._sharding))
            features.append(np.asarray(encoded).reshape(self._videos, frames, -1)[:size])
        return np.concatenate(features)

    def _batches(self, read: Callable[[int], np.ndarray], count: int) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(self._workers) as pool:
            indices = iter(range(count))
            ahead = [pool.submit(read, i) for i in islice(indices, self._videos)]
            while ahead:
                batch = np.stack([future.result() for future in ahead])
                ahead = [pool.submit(read, i) for i in islice(indices, self._videos)]
                yield batch
