"""Make episodes in parallel and hand them out in batches, in order.

Two loaders, chosen by name, give the same batches bit for bit: "tfdata" runs on tf.data,
"threads" on a thread pool and needs no TensorFlow.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from mdmf_jax.errors import ConfigError, UserError

Episode = dict[str, Any]  # arrays, or dictionaries of arrays: {"support": {"rgb": ...}, ...}
Batches = Generator[Episode, None, None]


LOADERS = ("tfdata", "threads")


def episode_batches(
    make_episode: Callable[[int], Episode],
    *,
    start: int,
    stop: int,
    batch: int,
    loader: str = "threads",
    workers: int = 2,
    prefetch: int = 2,
) -> Batches:
    """Episodes `start` to `stop - 1` in batches, each array with a leading axis E.

    Args:
      make_episode: from an episode's number to its arrays, of the same names and shapes for
        every number; they may lie in dictionaries. Called from several threads.
      start, stop: numbers of the first episode and of the one after the last.
      batch: E, episodes in a batch; the last batch holds what is left.
      loader: "tfdata" or "threads".
      workers: episodes made at the same time.
      prefetch: batches made ahead of the one in use.

    Returns:
      A generator; its `close` stops the work and ends the threads.

    Raises:
      ConfigError: an option is unknown or out of range, or TensorFlow is needed and missing.
      UserError: what `make_episode` raised, when its batch is due.
    """
    if loader not in LOADERS:
        raise ConfigError(f"data.loader={loader!r} is unknown; use one of {', '.join(LOADERS)}")
    if min(batch, workers, prefetch) < 1:
        raise ConfigError(
            f"batch={batch}, data.workers={workers}, prefetch={prefetch}: all must be 1 or more"
        )
    batches = _tfdata if loader == "tfdata" else _threads
    found = batches(
        lambda index: flatten(make_episode(index)), range(start, stop), batch, workers, prefetch
    )
    return _nested(found)


def _nested(batches: Generator[Episode, None, None]) -> Generator[Episode, None, None]:
    # Left early, it ends the work below it at once, not when that is collected.
    with contextlib.closing(batches):
        for batch in batches:
            yield unflatten(batch)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested dictionaries by their paths, such as "support/rgb"."""
    arrays = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            arrays |= flatten(value, f"{prefix}{name}/")
        else:
            arrays[prefix + name] = value
    return arrays


def unflatten(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The nested dictionaries whose arrays have these paths."""
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = array
    return tree


def _threads(
    make_episode: Callable[[int], Episode], indices: range, batch: int, workers: int, prefetch: int
) -> Generator[Episode, None, None]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="episodes")
    window: deque[Future[Episode]] = deque()
    waiting = iter(indices)
    try:
        for begin in range(0, len(indices), batch):
            # Refill before the wait and again after it, so that the workers stay busy while
            # the consumer is at work on the batch.
            _fill(window, pool, make_episode, waiting, batch * (prefetch + 1))
            size = min(batch, len(indices) - begin)
            episodes = [window.popleft().result() for _ in range(size)]
            _fill(window, pool, make_episode, waiting, batch * prefetch)
            yield {key: np.stack([e[key] for e in episodes]) for key in episodes[0]}
    finally:
        pool.shutdown(cancel_futures=True)


def _fill(
    window: deque[Future[Episode]],
    pool: ThreadPoolExecutor,
    make_episode: Callable[[int], Episode],
    waiting: Iterator[int],
    size: int,
) -> None:
    while len(window) < size and (index := next(waiting, None)) is not None:
        window.append(pool.submit(make_episode, index))


def _tfdata(
    make_episode: Callable[[int], Episode], indices: range, batch: int, workers: int, prefetch: int
) -> Generator[Episode, None, None]:
    tf = _import_tensorflow()
    if not indices:
        return
    first = make_episode(indices.start)  # shows the names, types and shapes of the arrays
    failures: dict[int, UserError] = {}

    def make(index: np.ndarray) -> list[np.ndarray]:
        number = int(index)
        try:
            episode = first if number == indices.start else make_episode(number)
        except UserError as error:
            failures[number] = error  # TensorFlow would keep its text only
            raise
        return [episode[key] for key in first]

    def load(index):
        arrays = tf.numpy_function(make, [index], [first[key].dtype for key in first])
        return {
            key: tf.ensure_shape(array, first[key].shape)
            for key, array in zip(first, arrays, strict=True)
        }

    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = workers
    dataset = tf.data.Dataset.range(indices.start, indices.stop)
    dataset = dataset.map(load, num_parallel_calls=workers, deterministic=True)
    dataset = dataset.batch(batch).prefetch(prefetch).with_options(options)
    try:
        for arrays in dataset.as_numpy_iterator():
            yield {key: arrays[key] for key in first}
    except tf.errors.OpError:
        if not failures:
            raise
        raise failures[min(failures)] from None  # batches come in order: the first is the one due


def _import_tensorflow():
    # Two notes about the speed of TensorFlow's own arithmetic, of which none is used here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ConfigError(
            "data.loader='tfdata' needs TensorFlow, which cannot be imported;"
            " install tensorflow-cpu or set data.loader=threads"
        ) from error
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")  # the GPU's memory is JAX's
    return tf
