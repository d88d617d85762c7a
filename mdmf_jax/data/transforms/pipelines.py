"""The two published ways from the frames of a video to the encoder's pixels, by name.

"mdmf" (CLIP-MDMF, TRX, TSA-MLT): the short side to a fixed size with Pillow's bilinear filter;
in training every clip is mirrored with probability 0.5, then cut at random; in a test the centre
is cut out. "clip_fsar" (CLIP-FSAR): squashed to a square; in training cut at random; only the
queries are mirrored and change their colours, where that is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.transforms.colour import color_jitter
from mdmf_jax.data.transforms.geometry import random_crop_flip, resize_short_side, squash, view_crop

PIPELINES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "mdmf": resize_short_side,
    "clip_fsar": squash,
}
CROPS = 5  # places of a test crop: the centre, then the corners


@dataclass(frozen=True)
class Pipeline:
    """What is done to the frames of a clip, uint8 [T, H, W, 3] throughout.

    Attributes:
      name: "mdmf" or "clip_fsar".
      resize: short side, or side of the square, after resizing; pixels.
      crop: side of the square that is cut out, pixels.
      flip: mirror half of the training clips; with "clip_fsar", of the queries only.
      jitter: change the colours of training queries; see `color_jitter`.
    """

    name: str
    resize: int
    crop: int
    flip: bool = False
    jitter: bool = False

    def scale(self, frames: np.ndarray) -> np.ndarray:
        """Resized frames [T, H', W', 3], the same in training and in tests."""
        return PIPELINES[self.name](frames, self.resize)

    def cut_train(self, frames: np.ndarray, query: bool, rng: np.random.Generator) -> np.ndarray:
        """A random square of the resized frames, mirrored or not, a view of them.

        Raises:
          ConfigError: the frames are smaller than the square.
        """
        mirror = self.flip and (query or self.name == "mdmf")
        return random_crop_flip(frames, self.crop, mirror, rng)

    def cut_test(self, frames: np.ndarray, view: int = 0) -> np.ndarray:
        """The centre of the resized frames (view 0), or a corner, a view of them.

        Raises:
          ConfigError: the frames are smaller than the square.
        """
        return view_crop(frames, self.crop, view % CROPS)

    def recolour(self, clip: np.ndarray, query: bool, rng: np.random.Generator) -> np.ndarray:
        """The training clip with other colours, if it is a query and `jitter` is on."""
        return color_jitter(clip, rng) if self.jitter and query else clip
