"""The two published ways from the frames of a video to the encoder's pixels, by name.

"mdmf" (CLIP-MDMF, TRX, TSA-MLT): the short side to a fixed size with Pillow's bilinear filter;
in training every clip is mirrored with probability 0.5, then cut at random; in a test the centre
is cut out. "clip_fsar" (CLIP-FSAR): squashed to a square; in training cut at random; only the
queries are mirrored and change their colours, where that is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.transforms.colour import Jitter, draw_jitter
from mdmf_jax.data.transforms.geometry import Cut, fixed_cut, random_cut, resize, short_side, squash

# For each pipeline, how frames are brought to a size: (frames, height, width) -> frames.
PIPELINES: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "mdmf": resize,
    "clip_fsar": squash,
}
CROPS = 5  # places of a test crop: the centre, then the corners


@dataclass(frozen=True)
class Pipeline:
    """What is done to the frames of a clip, uint8 [T, H, W, C] throughout.

    Attributes:
      name: "mdmf" or "clip_fsar".
      resize: short side, or side of the square, after resizing; pixels.
      crop: side of the square that is cut out, pixels.
      flip: mirror half of the training clips; with "clip_fsar", of the queries only.
      jitter: change the colours of training queries; see `draw_jitter`.
    """

    name: str
    resize: int
    crop: int
    flip: bool = False
    jitter: bool = False

    def scale(self, frames: np.ndarray) -> np.ndarray:
        """Resized frames [T, H', W', C], the same in training and in tests."""
        height, width = self.resize, self.resize
        if self.name == "mdmf":
            height, width = short_side(frames.shape[1], frames.shape[2], self.resize)
        return self.scale_to(frames, height, width)

    def scale_to(self, frames: np.ndarray, height: int, width: int) -> np.ndarray:
        """Frames brought to a given size [T, height, width, C] by the pipeline's filter."""
        return PIPELINES[self.name](frames, height, width)

    def train_cut(self, height: int, width: int, query: bool, rng: np.random.Generator) -> Cut:
        """A random square of resized frames, mirrored or not; see `random_cut`.

        Raises:
          ConfigError: the frames are smaller than the square.
        """
        mirror = self.flip and (query or self.name == "mdmf")
        return random_cut(height, width, self.crop, mirror, rng)

    def test_cut(self, height: int, width: int, clip: int = 0) -> Cut:
        """The centre of resized frames (test clip 0), or the centre or a corner in turn.

        Raises:
          ConfigError: the frames are smaller than the square.
        """
        return fixed_cut(height, width, self.crop, clip % CROPS)

    def train_colours(self, query: bool, rng: np.random.Generator) -> Jitter | None:
        """Changes of the colours of a training clip, if it is a query and `jitter` is on."""
        return draw_jitter(rng) if self.jitter and query else None
