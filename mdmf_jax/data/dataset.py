"""The splits of a data set (train, val, test) as the settings of a run describe them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.demo.people.dataset import ensure_people
from mdmf_jax.data.episodes.batches import Batches, episode_batches
from mdmf_jax.data.episodes.drawing import check_split, sample_episode_table
from mdmf_jax.data.episodes.feature_episodes import FeatureEpisodes, clip_reader
from mdmf_jax.data.episodes.grouped import grouped_episode_table
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.groups import Groups, read_groups
from mdmf_jax.data.protocols.protocol import SPLITS
from mdmf_jax.data.protocols.splits import Split, load_split
from mdmf_jax.data.protocols.text_names import class_text_names
from mdmf_jax.data.settings import DataSection, EpisodeSection
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.modalities import RGB, find_modalities
from mdmf_jax.data.videos.reader import Clip, VideoReader
from mdmf_jax.data.videos.selection import drop_short
from mdmf_jax.data.videos.sources import VideoSource, find_kind, open_source
from mdmf_jax.errors import ConfigError


class Dataset:
    """Videos, class names and episodes of all splits.

    Generates the demo's videos if the settings ask for them and they are not there yet.

    Args:
      data: the section `data` of a run's settings.
      episode: the section `episode`: way, shot and queries of the training episodes.
      seed: of the run; it names the training episodes and random draws of frames.
      episodes_per_step: E, training episodes in a batch.
      modalities: what a clip holds; names in `MODALITIES`.

    Raises:
      ConfigError: the settings of the data do not fit each other, or a modality is unknown.
      DataError: videos or lists are missing; where short videos are left out, also a video that
        cannot be decoded.
    """

    def __init__(
        self,
        data: DataSection,
        episode: EpisodeSection,
        *,
        seed: int,
        episodes_per_step: int = 1,
        modalities: Sequence[str] = (RGB,),
    ):
        self._data, self._seed = data, seed
        self._sizes = {"way": episode.way, "shot": episode.shot, "queries": episode.queries}
        self._episodes_per_step = episodes_per_step
        self._modalities = tuple(find_modalities(modalities))
        self._sources = open_sources(data)
        self.splits: dict[str, Split] = {name: self._sources[name].split for name in SPLITS}
        self._clips = cache(self._clip_maker)

    @property
    def test_clips(self) -> int:
        """Clips of a test video whose features are to be averaged."""
        return self._data.test_clips

    def source(self, split: str) -> VideoSource:
        """Where the videos of a split come from."""
        return self._sources[split]

    def class_names_for_texts(self, split: str) -> tuple[str, ...]:
        """Names that the classes of a split have in their texts [C]; see `class_text_names`."""
        everything = [f for each in self.splits.values() for f in each.folders]
        own, order = self.splits[split], self._data.prompt_order
        return class_text_names(own.folders, own.prompts, everything, order)

    def class_aliases(self, split: str) -> list[tuple[str, ...]]:
        """Names by which a bank of texts may know the classes [C]; first that for their texts."""
        own = self.splits[split]
        known = {
            prompt: (prompt, name, folder)
            for prompt, name, folder in zip(own.prompts, own.names, own.folders, strict=True)
        }
        return [known[name] for name in self.class_names_for_texts(split)]

    def check(self, split: str, way: int, shot: int, queries: int) -> None:
        """Raises DataError if a split has too few classes or videos for such episodes."""
        check_split(self.splits[split], way, shot, queries)

    def train_clips(self, number: int) -> tuple[Callable[[int], Clip], int]:
        """Random clips whose features are kept, `number` of each video; see `clip_reader`.

        Returns:
          Their reader, and how many they are: V * number, video after video.
        """
        read = clip_reader(self._clips("train"), self._seed, number)
        return read, number * self.splits["train"].num_videos

    def train_batches(
        self,
        start: int,
        stop: int,
        rows: np.ndarray | None = None,
        features: Mapping[str, np.ndarray] | None = None,
    ) -> Batches:
        """Batches of training episodes for the steps start+1..stop.

        Step i takes the episodes (i - 1) * E to i * E - 1, whatever was trained before.

        Args:
          rows: places in each batch, ascending, whose episodes are wanted; all by default.
          features: of the clips of `train_clips`, by name [V, clips, ...], to be taken instead
            of frames.

        Returns:
          With a leading axis E, what `EpisodeLoader.make_episode` gives: "support" and "query"
          by modality, {"rgb": uint8 [E, W, K, T, H, W, 3]}, or by the features' names,
          {"frames": [E, W, K, T, D]}; "query_labels", "class_ids" and "index".
        """
        sizes = self._sizes | {"seed": self._seed}
        if features is None:
            make = EpisodeLoader(self._clips("train"), train=True, **sizes).make_episode
        else:
            make = FeatureEpisodes(self.splits["train"], features, **sizes).make_episode
        size = self._episodes_per_step
        rows = np.arange(size) if rows is None else rows
        own = len(rows)
        return episode_batches(
            lambda number: make(number // own * size + int(rows[number % own])),
            start=start * own,
            stop=stop * own,
            batch=own,
            loader=self._data.loader,
            workers=self._data.workers,
        )

    def test_clip(self, split: str, video: int, clip: int = 0) -> Clip:
        """A clip of a video, the same at every call, uint8 [T, H, W, C] by modality.

        Args:
          video: its number in the split, 0..V-1.
          clip: 0..test_clips-1; 0 takes the usual frames, cropped at the centre.
        """
        return self._clips(split).test(video, clip)

    def episodes(
        self, split: str, way: int, shot: int, queries: int, episodes: int, seed: int
    ) -> dict[str, np.ndarray]:
        """The first episodes of a split as a table of video numbers; see `EpisodeEvaluator`.

        With `data.groups` no group is in support and query at once; see `grouped_episodes`.
        """
        sizes = {"way": way, "shot": shot, "queries": queries, "seed": seed, "episodes": episodes}
        if not self._data.groups:
            return sample_episode_table(self.splits[split], **sizes)
        return grouped_episode_table(self.splits[split], self._groups, **sizes)

    @cached_property
    def _groups(self) -> Groups:
        return read_groups(self._data.groups)

    def _clip_maker(self, split: str) -> ClipMaker:
        data = self._data
        pipeline = Pipeline(data.pipeline, data.resize, data.crop, data.flip, data.jitter)
        # Test clips are read once, so that only training gains from a cache.
        keep = data.cache and split == "train"
        reader = VideoReader(self._sources[split], pipeline, keep, self._modalities)
        rules = ClipRules(data.frames, data.sampling, data.test_clips, self._seed)
        return ClipMaker(reader, rules, data.short_videos)


def open_sources(data: DataSection) -> dict[str, VideoSource]:
    """The videos of every split, those left out that are too short (`data.short_videos`).

    Args:
      data: the section `data` of a run's settings.

    Raises:
      ConfigError: the settings of the data do not fit each other.
      DataError: videos or lists are missing.
    """
    if data.dataset in ("demo", "people"):
        root = (ensure_demo if data.dataset == "demo" else ensure_people)(data.root or None)
        videos, lists = root / "videos", root / "splits"
        # All videos of the demo are long enough, so that none needs to be counted.
        return {s: open_source("videos", videos, s, _split_of(videos, lists, s)) for s in SPLITS}
    if not data.root:
        raise ConfigError("data.root is empty; set --config.data.root to the folder of the videos")
    protocol = protocols.load(data.protocol) if data.protocol else None
    kind = find_kind(data.source, data.root)
    if kind == "prepared" and data.splits:
        raise ConfigError("data.splits is set, but prepared data hold their split; leave it empty")
    sources = {}
    for split in SPLITS:
        find = _split_of(data.root, data.splits, split, protocol)
        sources[split] = open_source(kind, data.root, split, find)
    if data.short_videos == "repeat":
        return sources
    return {s: drop_short(sources[s], data.frames, data.workers) for s in SPLITS}


def _split_of(
    root: str | Path, lists: str | Path, split: str, protocol: protocols.Protocol | None = None
):
    return lambda frames: load_split(root, lists, split, protocol, frames)
