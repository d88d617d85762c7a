"""Turn the number of an episode or of a test video into pixels: choose, decode, resize, cut."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdmf_jax.data.episodes.drawing import check_split, episode_rng, query_labels, sample_episode
from mdmf_jax.data.episodes.test_clips import ClipRules, read_test_clips
from mdmf_jax.data.transforms.colour import color_jitter
from mdmf_jax.data.transforms.sampling import choose_frames
from mdmf_jax.data.videos.reader import Clip, VideoReader
from mdmf_jax.errors import DataError

PIXELS = 1  # stream of an episode's random numbers that serves frames, crops and colours


@dataclass(frozen=True)
class ClipMaker:
    """Makes the clips of a split for training and for tests.

    Attributes:
      reader: where the videos come from, and what is done to their frames.
      rules: which frames a test clip takes; training clips have as many, by the same policy.
      short_videos: "repeat" the frames of videos with fewer than T frames, or refuse them
        ("drop": they were to be left out of the split before).
    """

    reader: VideoReader
    rules: ClipRules
    short_videos: str = "repeat"

    def train(self, video: int, query: bool, rng: np.random.Generator) -> Clip:
        """A random clip, uint8 [T, crop, crop, C] by modality.

        Args:
          rng: drawn from in this order, once for all modalities: frames, mirroring, column, row,
            colours.

        Raises:
          DataError: the video cannot be decoded, or is too short.
        """
        count = self._checked_length(video)
        rules, pipeline = self.rules, self.reader.pipeline
        numbers = choose_frames(rules.sampling, count, rules.frames, rng, train=True)
        frames = self.reader.read(video, numbers)
        clip = frames.clip(numbers, pipeline.train_cut(*frames.size, query, rng))
        colours = pipeline.train_colours(query, rng)
        if colours is None:
            return clip
        return {
            name: color_jitter(x, colours) if self.reader.modalities[name].recoloured else x
            for name, x in clip.items()
        }

    def test(self, video: int, clip: int = 0) -> Clip:
        """A test clip, uint8 [T, crop, crop, C] by modality; see `read_test_clips`.

        Raises:
          DataError: the video cannot be decoded, or is too short.
        """
        self._checked_length(video)
        return read_test_clips(self.reader, video, self.rules, [clip])[0]

    def _checked_length(self, video: int) -> int:
        """Frames of the video; DataError if it is too short to be used."""
        count, least = self.reader.num_frames(video), self.rules.frames
        if self.short_videos == "drop" and count < least:
            raise DataError(
                f"{self.reader.source.describe(video)}: has {count} frames, {least} are"
                " needed; remove the video, lower data.frames or set data.short_videos=repeat"
            )
        return count


@dataclass(frozen=True)
class EpisodeLoader:
    """Makes the episodes of a split; see `make_episode`.

    Attributes:
      clips: makes the clips; its split is the one the episodes are drawn from.
      way, shot, queries: sizes of an episode; `queries` is per class.
      seed: names the sequence of episodes, together with the name of the split.
      train: random frames, crops and colours; otherwise the test clips.

    Raises:
      DataError: as `check_split`.
    """

    clips: ClipMaker
    way: int
    shot: int
    queries: int
    seed: int
    train: bool = False

    def __post_init__(self) -> None:
        check_split(self.clips.reader.split, self.way, self.shot, self.queries)

    def make_episode(self, index: int) -> dict[str, Any]:
        """Episode number `index`, a pure function of (seed, split, index).

        Returns:
          By modality, support uint8 [W, K, T, H, W, C] and query uint8 [Q, T, H, W, C] (class
          after class, Q = W * queries); query_labels int32 [Q], class_ids int32 [W] (positions
          in the split), index int32 [].

        Raises:
          DataError: a video cannot be decoded or is too short.
        """
        split = self.clips.reader.split
        episode = sample_episode(
            split.counts,
            way=self.way,
            shot=self.shot,
            queries=self.queries,
            seed=self.seed,
            split=split.name,
            index=index,
        )
        rng = episode_rng(self.seed, split.name, index, stream=PIXELS)
        offsets = split.offsets[episode.classes][:, None]
        support = self._clips((offsets + episode.support).reshape(-1), False, rng)
        sizes = self.way, self.shot
        return {
            "support": {name: x.reshape(*sizes, *x.shape[1:]) for name, x in support.items()},
            "query": self._clips((offsets + episode.query).reshape(-1), True, rng),
            "query_labels": query_labels(self.way, self.queries),
            "class_ids": episode.classes.astype(np.int32),
            "index": np.array(index, np.int32),
        }

    def _clips(self, videos: np.ndarray, query: bool, rng: np.random.Generator) -> Clip:
        """The clips of videos [N], by modality [N, T, H, W, C]."""
        clips: Clip = {}
        for place, video in enumerate(videos.tolist()):
            made = self.clips.train(video, query, rng) if self.train else self.clips.test(video)
            for name, clip in made.items():
                if name not in clips:
                    clips[name] = np.empty((len(videos), *clip.shape), np.uint8)
                clips[name][place] = clip
        return clips
