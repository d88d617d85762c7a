"""Tables of what a method makes of single videos, for the episodes to gather from."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

_PAIRS = 128  # of a video and a text, computed at once
_FEWEST_ROWS = 64
_MOST_TEXTS = 8

Arrays = Mapping[str, np.ndarray]
# stage(parameters, features [N, ...] by name, texts [N, D] or None) -> tree [N, ...]
Stage = Callable[[Any, Any, jax.Array | None], Any]


class StageCache:
    """Computes a stage of a method once for each pair of a video and a text that occurs.

    The texts of a video are done together, so that what depends on the video alone is computed
    once for all of them. Batches have one size, and the table's number of rows is a power of
    two, so that compiled programs serve again.

    Args:
      mesh: its axis `data` divides the batches; every device holds the whole table.
    """

    def __init__(self, stage: Stage, mesh: Mesh):
        self._parts = mesh.shape["data"]
        self._whole = NamedSharding(mesh, P())
        self._split = NamedSharding(mesh, P("data"))
        self._stage = stage

        def fill(params, table, videos, texts, start):
            new = self._rows(params, videos, texts)
            return jax.tree.map(
                lambda t, x: jax.lax.dynamic_update_slice_in_dim(t, x, start, 0), table, new
            )

        self._fill = jax.jit(fill, out_shardings=self._whole, donate_argnums=1)

    def _rows(self, params, videos, texts):
        if texts is None:
            return self._stage(params, videos, None)
        tree = jax.vmap(lambda t: self._stage(params, videos, t), in_axes=1, out_axes=1)(texts)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)

    def num_bytes(self, params: Any, features: Arrays, texts: np.ndarray | None, pairs: int):
        """Bytes of a table of so many pairs, at most."""
        one = self._shapes(params, features, texts)
        size = sum(x.dtype.itemsize * int(np.prod(x.shape[1:])) for x in jax.tree.leaves(one))
        return size * _rows_of(pairs + 2 * _PAIRS)

    def __call__(
        self,
        params: Any,
        features: Arrays,
        texts: np.ndarray | None,
        videos: np.ndarray,
        classes: np.ndarray,
    ) -> tuple[Any, np.ndarray]:
        """A table on the devices, a tree [rows, ...], and the row of each given pair.

        Args:
          features: of all videos, name -> [V, ...].
          texts: of all classes [C, D]; None if the stage takes none.
          videos, classes: the pairs, of any one shape, repeated at will; `classes` is ignored
            without texts.
        """
        if texts is None:
            classes = np.zeros_like(videos)
        count = int(classes.max()) + 1
        pairs, places = np.unique(videos * count + classes, return_inverse=True)
        grid, rows = _arrange(pairs // count, pairs % count, texts is not None)
        video, text = grid
        width = text.shape[1]
        size = -(-max(1, _PAIRS // width) // self._parts) * self._parts
        batches = -(-len(video) // size)
        table = self._table(params, features, texts, batches * size * width)
        for start in range(0, len(video), size):
            # Repeating the last row fills up the last batch; nobody asks for the extra rows.
            batch = np.minimum(np.arange(start, start + size), len(video) - 1)
            rows_of = {name: x[video[batch]] for name, x in features.items()}
            arrays = (rows_of, None if texts is None else texts[text[batch]])
            table = self._fill(params, table, *jax.device_put(arrays, self._split), start * width)
        return table, rows[places].reshape(videos.shape).astype(np.int32)

    def _shapes(self, params, features, texts) -> Any:
        video = {n: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype) for n, x in features.items()}
        text = None
        if texts is not None:
            text = jax.ShapeDtypeStruct((1, 1, *texts.shape[1:]), texts.dtype)
        return jax.eval_shape(self._rows, params, video, text)

    def _table(self, params, features, texts, rows: int) -> Any:
        size = _rows_of(rows)
        return jax.tree.map(
            lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype, device=self._whole),
            self._shapes(params, features, texts),
        )


def _rows_of(count: int) -> int:
    return max(_FEWEST_ROWS, 1 << (count - 1).bit_length())


def _arrange(videos: np.ndarray, classes: np.ndarray, several: bool):
    """Pairs, ascending by video, in rows of one video each with places for several texts.

    Returns:
      ((video of each row [R], its classes [R, P]), place of each pair in the flat grid).
      Of the possible P the one is taken that costs least, if what is done for a video alone
      costs as much as what is done for a text.
    """
    first = np.flatnonzero(np.diff(videos, prepend=-1))  # first pair of each video
    counts = np.diff(np.append(first, len(videos)))
    widths = [1 << i for i in range(_MOST_TEXTS.bit_length())] if several else [1]
    width = min(widths, key=lambda p: int((-(-counts // p)).sum()) * (1 + p))
    number = np.arange(len(videos)) - np.repeat(first, counts)  # of a pair within its video
    rows = -(-counts // width)
    row = np.repeat(np.cumsum(rows) - rows, counts) + number // width
    place = row * width + number % width
    grid = np.repeat(classes[np.searchsorted(row, np.arange(rows.sum()))][:, None], width, 1)
    grid[row, number % width] = classes
    return (np.repeat(videos[first], rows), grid), place
