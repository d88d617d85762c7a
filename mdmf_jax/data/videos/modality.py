"""What a modality is: pictures of a video such as its RGB frames, or its optical flow."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mdmf_jax.data.transforms.geometry import flip

if TYPE_CHECKING:
    from mdmf_jax.data.videos.sources import VideoSource

Scale = Callable[[np.ndarray], np.ndarray]


class Modality:
    """Pictures of a clip, uint8 [T, H, W, C]. As it stands, the RGB frames themselves.

    To add one, derive a class from this in a file of its own and name it in `MODALITIES`. All
    modalities of a clip are cut at the same place and mirrored together. Every method is a pure
    function; threads call them.

    Attributes:
      recoloured: whether the colours of training queries change (`data.jitter`); for C = 3 only.
    """

    recoloured = False

    def frames(
        self, source: "VideoSource", video: int, numbers: np.ndarray, rgb: np.ndarray
    ) -> np.ndarray:
        """Pictures of a clip, uint8 [T, h, w, C], of any size.

        May be made from `rgb`, or read from files beside the video: `source.split.paths[video]`
        and `source.split.ids[video]` name it, `source.frames` reads other frames of it.

        Args:
          source: the videos; in the search of a long video, the frames that are held of it.
          video: its number in the source.
          numbers: of the clip's frames, ascending, int64 [T]; a short video repeats some.
          rgb: those frames as they were read, uint8 [T, H, W, 3].

        Raises:
          DataError: they cannot be read.
        """
        return rgb

    def scale(self, frames: np.ndarray, to_size: Scale) -> np.ndarray:
        """Frames in the size to which the RGB frames are scaled, uint8 [T, H', W', C].

        Args:
          to_size: scales frames as the pipeline does, whatever their size and C.
        """
        return to_size(frames)

    def mirror(self, frames: np.ndarray) -> np.ndarray:
        """Frames mirrored left to right. Optical flow also changes the sign of its u."""
        return flip(frames)
