"""A part of the videos of a source, and which videos are long enough."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.errors import DataError


class Selection:
    """The videos `items` of a source, itself a source; see `sources.VideoSource`.

    Args:
      items: numbers of videos of the source, ascending.
    """

    def __init__(self, source: VideoSource, items: Sequence[int]) -> None:
        self._source, self._items = source, [int(item) for item in items]
        self.split = source.split.select(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def class_of(self, item: int) -> int:
        return self._source.class_of(self._items[item])

    def describe(self, item: int) -> str:
        return self._source.describe(self._items[item])

    def num_frames(self, item: int) -> int:
        return self._source.num_frames(self._items[item])

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._source.frames(self._items[item], indices)

    def all_frames(self, item: int) -> np.ndarray:
        return self._source.all_frames(self._items[item])


def drop_short(source: VideoSource, frames: int, workers: int) -> VideoSource:
    """The source without its videos of fewer than `frames` frames.

    Counting the frames of video files means decoding them; prepared data know their counts.

    Raises:
      DataError: a video cannot be decoded, or no video is long enough.
    """
    with ThreadPoolExecutor(workers) as pool:
        counts = np.array(list(pool.map(source.num_frames, range(len(source)))))
    items = np.flatnonzero(counts >= frames)
    if len(items) == len(source):
        return source
    if not len(items):
        raise DataError(
            f"{source.split.name}: no video has {frames} frames;"
            " lower data.frames or set data.short_videos=repeat"
        )
    return Selection(source, items.tolist())
