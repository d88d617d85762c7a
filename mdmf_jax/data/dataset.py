"""The parts of a data set (train, val, test) as a config describes them."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from mdmf_jax.config.config import Config
from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.episodes.batches import episode_batches
from mdmf_jax.data.episodes.drawing import check_split, sample_episode_table
from mdmf_jax.data.episodes.feature_episodes import FeatureEpisodes, clip_reader
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader, VideoReader
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.splits import Split, load_split
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.selection import drop_short
from mdmf_jax.data.videos.sources import VideoSource, find_kind, open_source
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.text import prompt_names

PARTS = ("train", "val", "test")


class Dataset:
    """Videos, class names and episodes of all parts.

    Generates the demo's videos if the config asks for them and they are not there yet.

    Raises:
      ConfigError: the settings of the data do not fit each other.
      DataError: videos or lists are missing; where short videos are left out, also a video that
        cannot be decoded.
    """

    def __init__(self, config: Config):
        self._config = config
        sources = open_sources(config)
        self.splits: dict[str, Split] = {part: sources[part].split for part in PARTS}
        self._sources = sources
        self._clips = cache(self._clip_maker)

    @property
    def test_clips(self) -> int:
        """Clips of a test video whose features are to be averaged."""
        return self._config.data.test_clips

    def source(self, part: str) -> VideoSource:
        """Where the videos of a part come from."""
        return self._sources[part]

    def prompt_names(self, part: str) -> tuple[str, ...]:
        """Names that the classes of a part have in their prompts [C]; see `prompt_names`."""
        everything = [f for split in self.splits.values() for f in split.folders]
        split, order = self.splits[part], self._config.data.prompt_order
        return prompt_names(split.folders, split.prompts, everything, order)

    def check(self, part: str, way: int, shot: int, queries: int) -> None:
        """Raises DataError if a part has too few classes or videos for such episodes."""
        check_split(self.splits[part], way, shot, queries)

    def train_clips(self, views: int) -> tuple[Callable[[int], np.ndarray], int]:
        """Reader and number of the random clips whose features are kept; see `clip_reader`."""
        read = clip_reader(self._clips("train"), self._config.seed, views)
        return read, views * self.splits["train"].num_videos

    def train_batches(
        self,
        start: int,
        stop: int,
        rows: np.ndarray | None = None,
        features: np.ndarray | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Batches of training episodes for the steps start+1..stop.

        Step i takes the episodes (i - 1) * E to i * E - 1, whatever was trained before.

        Args:
          rows: places in each batch, ascending, whose episodes are wanted; all by default.
          features: of the clips of `train_clips` [V, views, T, D], to be taken instead of
            frames.
        """
        config = self._config
        sizes = {
            "way": config.episode.way,
            "shot": config.episode.shot,
            "queries": config.episode.queries,
            "seed": config.seed,
        }
        if features is None:
            make = EpisodeLoader(self._clips("train"), train=True, **sizes).make_episode
        else:
            make = FeatureEpisodes(self.splits["train"], features, **sizes).make_episode
        size = config.train.episodes_per_step
        rows = np.arange(size) if rows is None else rows
        own = len(rows)
        return episode_batches(
            lambda number: make(number // own * size + int(rows[number % own])),
            start=start * own,
            stop=stop * own,
            batch=own,
            loader=config.data.loader,
            workers=config.data.workers,
        )

    def test_clip(self, part: str, video: int, view: int = 0) -> np.ndarray:
        """A clip of a video, the same at every call, uint8 [T, H, W, 3].

        Args:
          video: its number in the part, 0..V-1.
          view: 0..test_clips-1; 0 takes the usual frames, cropped at the centre.
        """
        return self._clips(part).test(video, self._config.seed, view, self.test_clips)

    def episodes(
        self, part: str, way: int, shot: int, queries: int, episodes: int, seed: int
    ) -> dict[str, np.ndarray]:
        """The first episodes of a part as a table of video numbers; see `EpisodeEvaluator`."""
        return sample_episode_table(
            self.splits[part], way=way, shot=shot, queries=queries, seed=seed, episodes=episodes
        )

    def _clip_maker(self, part: str) -> ClipMaker:
        data = self._config.data
        pipeline = Pipeline(data.pipeline, data.resize, data.crop, data.flip, data.jitter)
        # Test clips are read once, so that only training gains from a cache.
        keep = data.cache and part == "train"
        reader = VideoReader(self._sources[part], pipeline.scale, keep)
        return ClipMaker(reader, pipeline, data.frames, data.sampling, data.short_videos)


def open_sources(config: Config) -> dict[str, VideoSource]:
    """The videos of every part, those left out that are too short (`data.short_videos`).

    Raises:
      ConfigError: the settings of the data do not fit each other.
      DataError: videos or lists are missing.
    """
    data = config.data
    if data.dataset == "demo":
        root = ensure_demo(data.root or None)
        videos, lists = root / "videos", root / "splits"
        # All videos of the demo are long enough, so that none needs to be counted.
        return {p: open_source("videos", videos, p, _split_of(videos, lists, p)) for p in PARTS}
    if not data.root:
        raise ConfigError("data.root is empty; set --config.data.root to the folder of the videos")
    protocol = protocols.load(data.protocol) if data.protocol else None
    kind = find_kind(data.source, data.root)
    if kind == "prepared" and data.splits:
        raise ConfigError("data.splits is set, but prepared data hold their split; leave it empty")
    sources = {
        part: open_source(kind, data.root, part, _split_of(data.root, data.splits, part, protocol))
        for part in PARTS
    }
    if data.short_videos == "repeat":
        return sources
    return {p: drop_short(sources[p], data.frames, data.workers) for p in PARTS}


def _split_of(
    root: str | Path, lists: str | Path, part: str, protocol: protocols.Protocol | None = None
):
    return lambda frames: load_split(root, lists, part, protocol, frames)
