"""Training episodes from stored features: several random clips of each video, encoded once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdmf_jax.data.episodes.drawing import check_split, episode_rng, query_labels, sample_episode
from mdmf_jax.data.episodes.loading import ClipMaker
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.videos.reader import Clip

# Streams of random numbers: which clips an episode takes, and (from there on) how they are cut.
CHOICE = 1_000
CLIPS = 1_001


def clip_reader(clips: ClipMaker, seed: int, count: int) -> Callable[[int], Clip]:
    """Reads random training clips by number: video * count + clip.

    Each is a pure function of the seed, the split, the video and the clip.
    """

    def read(number: int) -> Clip:
        video, clip = divmod(number, count)
        rng = episode_rng(seed, clips.reader.split.name, video, stream=CLIPS + clip)
        return clips.train(video, False, rng)

    return read


@dataclass(frozen=True)
class FeatureEpisodes:
    """Makes episodes with the same classes and videos as `EpisodeLoader`.

    Attributes:
      split: where the episodes are drawn from.
      features: of all clips, by name [V, clips, ...]; the usual one is "frames" [V, clips, T, D].
      way, shot, queries: sizes of an episode; `queries` is per class.
      seed: names the sequence of episodes, together with the name of the split.

    Raises:
      DataError: as `check_split`.
    """

    split: Split
    features: Mapping[str, np.ndarray]
    way: int
    shot: int
    queries: int
    seed: int

    def __post_init__(self) -> None:
        check_split(self.split, self.way, self.shot, self.queries)

    def make_episode(self, index: int) -> dict[str, Any]:
        """Episode number `index`, a pure function of (seed, split, index) and the features.

        Returns:
          By the features' names, support [W, K, ...] and query [Q, ...]; query_labels int32 [Q],
          class_ids int32 [W], index int32 [].
        """
        split = self.split
        episode = sample_episode(
            split.counts,
            way=self.way,
            shot=self.shot,
            queries=self.queries,
            seed=self.seed,
            split=split.name,
            index=index,
        )
        rng = episode_rng(self.seed, split.name, index, stream=CHOICE)
        offsets = split.offsets[episode.classes][:, None]
        return {
            "support": self._clips(offsets + episode.support, rng),
            "query": self._clips((offsets + episode.query).reshape(-1), rng),
            "query_labels": query_labels(self.way, self.queries),
            "class_ids": episode.classes.astype(np.int32),
            "index": np.array(index, np.int32),
        }

    def _clips(self, videos: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        count = next(iter(self.features.values())).shape[1]
        # As in `sample_episode`: NumPy keeps the stream of `random` from version to version.
        clips = (rng.random(videos.shape) * count).astype(np.int64)
        return {name: x[videos, clips] for name, x in self.features.items()}
