"""Videos as files, decoded when their frames are asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.videos.video import count_frames, read_frames, read_video


class VideoFiles:
    """The videos of a split, each a file; see `mdmf_jax.data.videos.sources.VideoSource`.

    The number of frames is found by decoding, once for each video.
    """

    def __init__(self, root: str | Path, split: Split) -> None:
        self.root = Path(root)
        self.split = split
        self._classes = np.repeat(np.arange(len(split.folders)), split.counts)
        # Two threads may count the same video at once; both store the same, so no lock.
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        return self.split.num_videos

    def class_of(self, item: int) -> int:
        return int(self._classes[item])

    def describe(self, item: int) -> str:
        return str(self.root / self.split.paths[item])

    def num_frames(self, item: int) -> int:
        if item not in self._counts:
            self._counts[item] = count_frames(self.describe(item))
        return self._counts[item]

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return read_frames(self.describe(item), indices)

    def all_frames(self, item: int) -> np.ndarray:
        return read_video(self.describe(item))
