"""Features of every video of a split, each video encoded once."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mdmf_jax.model import FewShotModel, Params

# read(number of a video) -> its clip, modality -> uint8 [T, H, W, C]
Read = Callable[[int], Mapping[str, np.ndarray]]


class FeatureExtractor:
    """Encodes videos in batches of one size, so that the encoder is compiled once.

    Args:
      mesh: its axis `data` divides the batch.
      videos: in a batch; rounded up to a multiple of that axis.
      workers: threads that read videos.
    """

    def __init__(self, model: FewShotModel, mesh: Mesh, videos: int = 32, workers: int = 2):
        parts = mesh.shape["data"]
        self._videos = -(-videos // parts) * parts
        self._workers = workers
        self._sharding = NamedSharding(mesh, P("data"))
        self._encode = jax.jit(model.stage("encode"))

    def __call__(self, params: Params, read: Read, count: int) -> dict[str, np.ndarray]:
        """Features of the videos 0..count-1, name -> float32 [count, ...].

        Args:
          read: called from several threads.
        """
        found = []
        for batch in self._batches(read, count):
            size = len(next(iter(batch.values())))
            # Repeating the last video fills up the last batch; the extra rows are dropped.
            rows = np.minimum(np.arange(self._videos), size - 1)
            full = {name: x[rows] for name, x in batch.items()}
            encoded = self._encode(params, jax.device_put(full, self._sharding))
            found.append({name: np.asarray(x)[:size] for name, x in encoded.items()})
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _batches(self, read: Read, count: int) -> Iterator[dict[str, np.ndarray]]:
        with ThreadPoolExecutor(self._workers) as pool:
            numbers = iter(range(count))
            ahead = [pool.submit(read, i) for i in islice(numbers, self._videos)]
            while ahead:
                clips = [future.result() for future in ahead]
                ahead = [pool.submit(read, i) for i in islice(numbers, self._videos)]
                yield {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}
