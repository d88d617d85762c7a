"""Turn the number of an episode or of a test video into pixels: choose, decode, resize, cut."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.episodes.drawing import check_split, episode_rng, query_labels, sample_episode
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.transforms.sampling import choose_frames, view_indices
from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.errors import DataError

PIXELS = 1  # stream of an episode's random numbers that serves frames, crops and colours
VIEWS = 2  # stream of the first view of a test video; the others follow


class VideoReader:
    """Frames of the videos of a source, resized; threads may share one.

    With `cache` on, each video is decoded once and all its resized frames are kept in memory
    (N x H x W x 3 bytes each). With `cache` off, only the frames asked for are decoded, each
    time; only the number of frames of each video is kept.

    Args:
      source: the videos.
      scale: resizes frames [N, H, W, 3]; each frame on its own.
    """

    def __init__(
        self, source: VideoSource, scale: Callable[[np.ndarray], np.ndarray], cache: bool = False
    ) -> None:
        self.source = source
        self._scale = scale
        self._cache = cache
        # Two threads may decode the same video at once; both store the same, so no lock.
        self._videos: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}

    @property
    def split(self) -> Split:
        """The classes and videos of the source."""
        return self.source.split

    def num_frames(self, video: int) -> int:
        """Frames of the video with flat number `video`.

        Raises:
          DataError: the video cannot be decoded.
        """
        if video not in self._counts:
            self._counts[video] = self.source.num_frames(video)
        return self._counts[video]

    def clip(
        self,
        video: int,
        choose: Callable[[int], np.ndarray],
        cut: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """A clip of the video with flat number `video`, uint8 [T, H, W, 3].

        Args:
          video: flat number in the split.
          choose: from the number of frames of the video to the indices wanted, [T]; called first.
          cut: from frames [N, H, W, 3] to the part of them wanted, the same in every frame.

        Raises:
          DataError: the video cannot be decoded.
        """
        if self._cache:
            whole = self._whole(video)
            indices = choose(len(whole))
            return cut(whole)[indices]
        indices = choose(self.num_frames(video))
        # Each frame is read once, however often a short video repeats it.
        distinct, places = np.unique(indices, return_inverse=True)
        return cut(self._scale(self.source.frames(video, distinct)))[places]

    def _whole(self, video: int) -> np.ndarray:
        if video not in self._videos:
            self._videos[video] = self._scale(self.source.all_frames(video))
        return self._videos[video]


@dataclass(frozen=True)
class ClipMaker:
    """Makes the clips of a part for training and for tests.

    Attributes:
      reader: where the videos come from.
      pipeline: what is done to their frames; its `scale` is the reader's.
      frames: T, frames of a clip.
      sampling: how they are chosen; see `choose_frames`.
      short_videos: "repeat" the frames of videos with fewer than T frames, or refuse them
        ("drop": they were to be left out of the split before).
    """

    reader: VideoReader
    pipeline: Pipeline
    frames: int
    sampling: str = "ends"
    short_videos: str = "repeat"

    def train(self, video: int, query: bool, rng: np.random.Generator) -> np.ndarray:
        """A random clip, uint8 [T, crop, crop, 3].

        Args:
          rng: drawn from in this order: frames, mirroring, column, row, colours.

        Raises:
          DataError: the video cannot be decoded, or is too short.
        """

        def choose(count: int) -> np.ndarray:
            self._check(video, count)
            return choose_frames(self.sampling, count, self.frames, rng, train=True)

        clip = self.reader.clip(video, choose, lambda x: self.pipeline.cut_train(x, query, rng))
        return self.pipeline.recolour(clip, query, rng)

    def test(self, video: int, seed: int, view: int = 0, views: int = 1) -> np.ndarray:
        """A clip that is a pure function of the arguments, uint8 [T, crop, crop, 3].

        View 0 takes the policy's frames of a test, from the centre. View v takes other frames,
        and the centre or a corner in turn. Where the policy draws frames at random, the draw
        depends on the seed, the part, the video's id and the view only.

        Raises:
          DataError: the video cannot be decoded, or is too short.
        """

        def choose(count: int) -> np.ndarray:
            self._check(video, count)
            if view and self.sampling != "segments" and count >= self.frames:
                return view_indices(count, self.frames, view, views)
            number = zlib.crc32(self.reader.split.ids[video].encode())
            rng = episode_rng(seed, self.reader.split.part, number, stream=VIEWS + view)
            return choose_frames(self.sampling, count, self.frames, rng, train=False)

        return self.reader.clip(video, choose, lambda x: self.pipeline.cut_test(x, view))

    def _check(self, video: int, count: int) -> None:
        if self.short_videos == "drop" and count < self.frames:
            raise DataError(
                f"{self.reader.source.describe(video)}: has {count} frames, {self.frames} are"
                " needed; remove the video, lower data.frames or set data.short_videos=repeat"
            )


@dataclass(frozen=True)
class EpisodeLoader:
    """Makes the episodes of a split; see `make_episode`.

    Attributes:
      clips: makes the clips; its split is the one the episodes are drawn from.
      way, shot, queries: sizes of an episode; `queries` is per class.
      seed: names the sequence of episodes, together with the part of the split.
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

    def make_episode(self, index: int) -> dict[str, np.ndarray]:
        """Episode number `index`, a pure function of (seed, part, index).

        Returns:
          support uint8 [W, K, T, H, W, 3] and query uint8 [Q, T, H, W, 3] (class after class,
          Q = W * queries), query_labels int32 [Q], class_ids int32 [W] (positions in the
          split), index int32 [].

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
            part=split.part,
            index=index,
        )
        rng = episode_rng(self.seed, split.part, index, stream=PIXELS)
        offsets = split.offsets[episode.classes][:, None]
        support = self._clips((offsets + episode.support).reshape(-1), False, rng)
        return {
            "support": support.reshape(self.way, self.shot, *support.shape[1:]),
            "query": self._clips((offsets + episode.query).reshape(-1), True, rng),
            "query_labels": query_labels(self.way, self.queries),
            "class_ids": episode.classes.astype(np.int32),
            "index": np.array(index, np.int32),
        }

    def _clips(self, videos: np.ndarray, query: bool, rng: np.random.Generator) -> np.ndarray:
        size = self.clips.pipeline.crop
        clips = np.empty((len(videos), self.clips.frames, size, size, 3), np.uint8)
        for clip, video in zip(clips, videos.tolist(), strict=True):
            if self.train:
                clip[:] = self.clips.train(video, query, rng)
            else:
                clip[:] = self.clips.test(video, self.seed)
        return clips
