"""Turn an episode's number into its pixels: choose videos and frames, decode, resize, crop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdmf_jax.data.episodes import check_split, episode_rng, query_labels, sample_episode
from mdmf_jax.data.sampling import frame_indices_test, frame_indices_train
from mdmf_jax.data.splits import Split
from mdmf_jax.data.transforms import center_crop, random_crop_flip, resize_short_side
from mdmf_jax.data.video import count_frames, read_frames, read_video
from mdmf_jax.errors import DataError

PIXELS = 1  # stream of an episode's random numbers that serves frames, crops and flips


class VideoReader:
    """Frames of the videos of a split, resized; threads may share one.

    With `cache` on, each video is decoded once and all its resized frames are kept in memory
    (N x H x W x 3 bytes each). With `cache` off, only the frames asked for are decoded and
    converted, each time; only the number of frames of each video is kept.
    """

    def __init__(self, root: str | Path, split: Split, resize: int, cache: bool) -> None:
        self.root = Path(root)
        self.split = split
        self.resize = resize
        self.cache = cache
        # Two threads may decode the same video at once; both store the same, so no lock.
        self._videos: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}

    def clip(
        self,
        video: int,
        frames: int,
        choose: Callable[[int], np.ndarray],
        crop: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """A clip of the video with flat number `video`, uint8 [T, H, W, 3].

        Args:
          video: flat number in the split.
          frames: least number of frames that the video must have.
          choose: from the number of frames of the video to the indices wanted, [T]; called first.
          crop: from frames [N, H, W, 3] to the part of them wanted, the same in every frame.

        Raises:
          DataError: the video cannot be decoded or has fewer than `frames` frames.
        """
        if self.cache:
            whole = self._whole(video)
            indices = choose(self._check(video, len(whole), frames))
            return crop(whole)[indices]
        indices = choose(self._check(video, self._count(video), frames))
        return crop(resize_short_side(read_frames(self._path(video), indices), self.resize))

    def _whole(self, video: int) -> np.ndarray:
        if video not in self._videos:
            self._videos[video] = resize_short_side(read_video(self._path(video)), self.resize)
        return self._videos[video]

    def _count(self, video: int) -> int:
        if video not in self._counts:
            self._counts[video] = count_frames(self._path(video))
        return self._counts[video]

    def _check(self, video: int, count: int, frames: int) -> int:
        if count < frames:
            raise DataError(
                f"{self._path(video)}: has {count} frames, {frames} are needed;"
                " remove the video or lower data.frames"
            )
        return count

    def _path(self, video: int) -> Path:
        return self.root / self.split.paths[video]


@dataclass(frozen=True)
class EpisodeLoader:
    """Makes the episodes of a split; see `make_episode`.

    Attributes:
      reader: where the videos come from; its split is the one the episodes are drawn from.
      way, shot, queries: sizes of an episode; `queries` is per class.
      frames: T, frames of a clip.
      crop: side of the square that is cut out of the resized frames, pixels.
      seed: names the sequence of episodes, together with the part of the split.
      train: random frames and crops; otherwise the fixed frames and the centre.
      flip: with `train`, mirror half of the clips left to right.

    Raises:
      DataError: as `check_split`.
    """

    reader: VideoReader
    way: int
    shot: int
    queries: int
    frames: int
    crop: int
    seed: int
    train: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        check_split(self.reader.split, self.way, self.shot, self.queries)

    def make_episode(self, index: int) -> dict[str, np.ndarray]:
        """Episode number `index`, a pure function of (seed, part, index).

        Returns:
          support uint8 [W, K, T, H, W, 3] and query uint8 [Q, T, H, W, 3] (class after class,
          Q = W * queries), query_labels int32 [Q], class_ids int32 [W] (positions in the
          split), index int32 [].

        Raises:
          DataError: a video cannot be decoded or is too short.
        """
        split = self.reader.split
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
        support = self._clips((offsets + episode.support).reshape(-1), rng)
        return {
            "support": support.reshape(self.way, self.shot, *support.shape[1:]),
            "query": self._clips((offsets + episode.query).reshape(-1), rng),
            "query_labels": query_labels(self.way, self.queries),
            "class_ids": episode.classes.astype(np.int32),
            "index": np.array(index, np.int32),
        }

    def _clip(self, video: int, rng: np.random.Generator) -> np.ndarray:
        if self.train:
            return self.reader.clip(
                video,
                self.frames,
                choose=lambda n: frame_indices_train(n, self.frames, rng),
                crop=lambda frames: random_crop_flip(frames, self.crop, self.flip, rng),
            )
        return self.reader.clip(
            video,
            self.frames,
            choose=lambda n: frame_indices_test(n, self.frames),
            crop=lambda frames: center_crop(frames, self.crop),
        )

    def _clips(self, videos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        clips = np.empty((len(videos), self.frames, self.crop, self.crop, 3), np.uint8)
        for clip, video in zip(clips, videos.tolist(), strict=True):
            clip[:] = self._clip(video, rng)
        return clips
