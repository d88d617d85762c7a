"""The modality "dense": small grey frames from each position of a clip to the next.

Eight frames are too few to see how something moves. Here each position of a clip holds the frames
that follow it up to the next position, as channels, so that a clip of T positions shows T x DENSE
moments of the video at equal distances.
"""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mdmf_jax.data.videos.modality import Modality

if TYPE_CHECKING:
    from mdmf_jax.data.videos.sources import VideoSource

DENSE = 4  # frames of a position
SIDE = 96  # pixels; the whole picture, whatever its shape, becomes a square
_MOST_BYTES = 300_000_000  # of full frames in memory at once; larger videos are read in parts


class Dense(Modality):
    """Grey frames uint8 [T, SIDE, SIDE, DENSE]."""

    def frames(
        self, source: "VideoSource", video: int, numbers: np.ndarray, rgb: np.ndarray
    ) -> np.ndarray:
        wanted = dense_numbers(numbers, source.num_frames(video))  # [T, DENSE]
        distinct, places = np.unique(wanted, return_inverse=True)
        size = max(1, _MOST_BYTES // max(1, int(np.prod(rgb.shape[1:]))))
        parts = [distinct[i : i + size] for i in range(0, len(distinct), size)]
        small = np.concatenate([_small(source.frames(video, part)) for part in parts])
        return np.moveaxis(small[places.reshape(wanted.shape)], 1, -1)


def dense_numbers(numbers: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the frames of each position, int64 [T, DENSE], ascending.

    The last position goes on as far as the others do on average, at most to the video's end.

    Args:
      numbers: of the clip's frames, ascending [T].
      count: frames of the video.
    """
    gap = (numbers[-1] - numbers[0]) / max(1, len(numbers) - 1)
    ends = np.append(numbers[1:], min(numbers[-1] + gap, count))
    share = np.arange(DENSE) / DENSE
    moments = numbers[:, None] + (ends - numbers)[:, None] * share
    return np.clip(np.floor(moments + 1e-6), 0, count - 1).astype(np.int64)


def _small(frames: np.ndarray) -> np.ndarray:
    """RGB [N, H, W, 3] to small grey frames uint8 [N, SIDE, SIDE]."""
    resample = Image.Resampling.BILINEAR  # antialiased where it makes smaller
    return np.stack(
        [np.asarray(Image.fromarray(x).convert("L").resize((SIDE, SIDE), resample)) for x in frames]
    )
