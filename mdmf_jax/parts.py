"""The parts of a data set (train, val, test) as a config describes them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from mdmf_jax.config import Config
from mdmf_jax.data.demo import ensure_demo
from mdmf_jax.data.episodes import check_split, sample_episode_table
from mdmf_jax.data.loading import EpisodeLoader, VideoReader
from mdmf_jax.data.pipeline import episode_batches
from mdmf_jax.data.sampling import frame_indices_test
from mdmf_jax.data.splits import Split, load_split
from mdmf_jax.data.transforms import center_crop
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.text import prompt_names

PARTS = ("train", "val", "test")


class Dataset:
    """Videos, class names and episodes of all parts.

    Generates the demo's videos if the config asks for them and they are not there yet.

    Raises:
      DataError: videos or lists are missing.
    """

    def __init__(self, config: Config):
        self._config = config
        self._root, splits = _folders(config)
        self.splits: dict[str, Split] = {
            part: load_split(self._root, splits, part) for part in PARTS
        }
        self.reader = cache(self._reader)

    def prompt_names(self, part: str) -> tuple[str, ...]:
        """Names that the classes of a part have in their prompts [C]; see `prompt_names`."""
        everything = [f for split in self.splits.values() for f in split.folders]
        split, order = self.splits[part], self._config.data.prompt_order
        return prompt_names(split.folders, split.names, everything, order)

    def check(self, part: str, way: int, shot: int, queries: int) -> None:
        """Raises DataError if a part has too few classes or videos for such episodes."""
        check_split(self.splits[part], way, shot, queries)

    def train_batches(self, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches of training episodes for the steps start+1..stop.

        Step i takes the episodes (i - 1) * E to i * E - 1, whatever was trained before.
        """
        config = self._config
        loader = EpisodeLoader(
            self.reader("train"),
            way=config.episode.way,
            shot=config.episode.shot,
            queries=config.episode.queries,
            frames=config.data.frames,
            crop=config.data.crop,
            seed=config.seed,
            train=True,
            flip=config.data.flip,
        )
        size = config.train.episodes_per_step
        return episode_batches(
            loader.make_episode,
            start=start * size,
            stop=stop * size,
            batch=size,
            loader=config.data.loader,
            workers=config.data.workers,
        )

    def test_clip(self, part: str, video: int) -> np.ndarray:
        """Fixed frames of a video, cropped at the centre, uint8 [T, H, W, 3].

        Args:
          video: its number in the part, 0..V-1.
        """
        data = self._config.data
        return self.reader(part).clip(
            video,
            data.frames,
            lambda count: frame_indices_test(count, data.frames),
            lambda frames: center_crop(frames, data.crop),
        )

    def episodes(
        self, part: str, way: int, shot: int, queries: int, episodes: int, seed: int
    ) -> dict[str, np.ndarray]:
        """The first episodes of a part as a table of video numbers; see `EpisodeEvaluator`."""
        return sample_episode_table(
            self.splits[part], way=way, shot=shot, queries=queries, seed=seed, episodes=episodes
        )

    def _reader(self, part: str) -> VideoReader:
        data = self._config.data
        # Test clips are read once, so that only training gains from a cache.
        keep = data.cache and part == "train"
        return VideoReader(self._root, self.splits[part], data.resize, keep)


def _folders(config: Config) -> tuple[Path, str]:
    """Folder of the videos, and of the lists ("" if the folders say it)."""
    data = config.data
    if data.dataset == "demo":
        root = ensure_demo(data.root or None)
        return root / "videos", str(root / "splits")
    if not data.root:
        raise ConfigError("data.root is empty; set --config.data.root to the folder of the videos")
    return Path(data.root), data.splits
