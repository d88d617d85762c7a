"""The clips of a video in a test: the same in validation, evaluation and everyday use.

Which frames they take and where they are cut depends on the settings, the seed, the number of
the clip and the number of frames of the video: not on where the video lies or what it is called.
So a video gives a model the same pixels when it is tested and when it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.transforms.sampling import choose_frames, interleaved_indices
from mdmf_jax.data.videos.reader import Clip, VideoReader


@dataclass(frozen=True)
class ClipRules:
    """Settings that say which frames of a video a test clip takes.

    Attributes:
      frames: T, frames of a clip.
      sampling: how they are chosen; see `choose_frames`.
      count: clips of a video whose features are averaged (`data.test_clips`).
      seed: of the run; matters where the policy draws frames at random.
    """

    frames: int
    sampling: str = "ends"
    count: int = 1
    seed: int = 0

    def choose(self, length: int, clip: int = 0) -> np.ndarray:
        """Numbers of the frames of a test clip, ascending, int64 [T].

        Clip 0 takes the policy's frames of a test; the others take frames between those. Where
        the policy draws at random, each clip is another draw.

        Args:
          length: frames of the video.
          clip: 0 to count - 1.
        """
        if clip and self.sampling != "segments" and length >= self.frames:
            return interleaved_indices(length, self.frames, clip, self.count)
        seeds = np.random.SeedSequence([self.seed, clip, length])
        rng = np.random.Generator(np.random.Philox(seeds))
        return choose_frames(self.sampling, length, self.frames, rng, train=False)


def read_test_clips(
    reader: VideoReader, video: int, rules: ClipRules, clips: Sequence[int]
) -> list[Clip]:
    """Test clips of a video, each frame read once for all of them.

    Clip 0 is cut out of the centre, the others out of the centre or a corner in turn.

    Args:
      video: its number in the reader's source.
      clips: their numbers, each 0 to count - 1.

    Returns:
      For each, uint8 [T, crop, crop, C] by modality.

    Raises:
      ConfigError: the resized frames are smaller than the crop.
      DataError: the video cannot be read.
    """
    length = reader.num_frames(video)
    chosen = [rules.choose(length, clip) for clip in clips]
    frames = reader.read(video, np.concatenate(chosen))
    cuts = [reader.pipeline.test_cut(*frames.size, clip) for clip in clips]
    return [frames.clip(numbers, cut) for numbers, cut in zip(chosen, cuts, strict=True)]
