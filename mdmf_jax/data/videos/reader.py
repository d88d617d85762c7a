"""Read frames of videos, scale them and cut clips of all modalities out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.transforms.geometry import Cut, crop
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.modalities import RGB, find_modalities
from mdmf_jax.data.videos.modality import Modality
from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.errors import DataError

Clip = dict[str, np.ndarray]  # modality -> uint8 [T, H, W, C]


class VideoReader:
    """Frames of the videos of a source, resized; threads may share one.

    With `cache` on, each video is decoded once and all its frames are kept in memory
    (N x H x W x 3 bytes each), resized if RGB is the only modality. With `cache` off, only the
    frames asked for are decoded, each time; only the number of frames of each video is kept.

    Args:
      source: the videos.
      pipeline: resizes frames, each frame on its own.
      modalities: names of those that a clip holds.

    Raises:
      ConfigError: a modality is unknown.
    """

    def __init__(
        self,
        source: VideoSource,
        pipeline: Pipeline,
        cache: bool = False,
        modalities: Sequence[str] = (RGB,),
    ) -> None:
        self.source, self.pipeline = source, pipeline
        self.modalities = find_modalities(modalities)
        self._cache = cache
        # Two threads may decode the same video at once; both store the same, so no lock.
        self._videos: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}

    @property
    def split(self) -> Split:
        """The classes and videos of the source."""
        return self.source.split

    @property
    def rgb_only(self) -> bool:
        """Whether clips hold nothing but RGB frames, so that frames may be kept resized."""
        return set(self.modalities) == {RGB}

    def num_frames(self, video: int) -> int:
        """Frames of the video with flat number `video`.

        Raises:
          DataError: the video cannot be decoded.
        """
        if self._cache:
            return len(self._whole(video))
        if video not in self._counts:
            self._counts[video] = self.source.num_frames(video)
        return self._counts[video]

    def read(self, video: int, numbers: np.ndarray) -> "VideoFrames":
        """The frames with these numbers of a video, for one clip or several.

        Args:
          video: flat number in the split.
          numbers: in any order; each frame is read once, however often it is named.

        Raises:
          DataError: the video cannot be decoded.
        """
        distinct = np.unique(numbers)
        if not self._cache:
            frames = self.source.frames(video, distinct)
        elif self.rgb_only:  # resized already: clips are views of them until frames are chosen
            frames = self._whole(video)
            distinct = np.arange(len(frames))
        else:
            frames = self._whole(video)[distinct]
        return VideoFrames(self, video, distinct, frames, self.pipeline.scale(frames))

    def _whole(self, video: int) -> np.ndarray:
        if video not in self._videos:
            frames = self.source.all_frames(video)
            self._videos[video] = self.pipeline.scale(frames) if self.rgb_only else frames
        return self._videos[video]


@dataclass(frozen=True)
class VideoFrames:
    """Frames of one video.

    Attributes:
      reader: what read them.
      video: its flat number in the split.
      numbers: of the frames, ascending and distinct, int64 [N].
      rgb: the frames as they were read [N, H, W, 3].
      scaled: the same resized [N, H', W', 3].
    """

    reader: VideoReader
    video: int
    numbers: np.ndarray
    rgb: np.ndarray
    scaled: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after resizing."""
        height, width = self.scaled.shape[1:3]
        return height, width

    def clip(self, numbers: np.ndarray, cut: Cut) -> Clip:
        """A clip of the frames with these numbers [T], every modality cut alike.

        Raises:
          DataError: a modality cannot be read, or gives no such pictures.
        """
        places = np.searchsorted(self.numbers, numbers)
        clip = {}
        for name, modality in self.reader.modalities.items():
            if name == RGB:
                clip[name] = crop(self.scaled, cut, modality.mirror)[places]
            else:
                pictures = self._pictures(name, modality, numbers, places)
                clip[name] = crop(pictures, cut, modality.mirror)
        return clip

    def _pictures(
        self, name: str, modality: Modality, numbers: np.ndarray, places: np.ndarray
    ) -> np.ndarray:
        """A modality's pictures of a clip, resized and checked."""
        source, pipeline = self.reader.source, self.reader.pipeline
        pictures = modality.frames(source, self.video, numbers, self.rgb[places])
        self._check(name, pictures, len(numbers))
        pictures = modality.scale(pictures, lambda x: pipeline.scale_to(x, *self.size))
        self._check(name, pictures, len(numbers), self.size)
        return pictures

    def _check(
        self, name: str, pictures: np.ndarray, count: int, size: tuple[int, int] | None = None
    ) -> None:
        """Raises DataError unless they are uint8 [count, *size, C]."""
        right = pictures.dtype == np.uint8 and pictures.ndim == 4 and len(pictures) == count
        if not right or (size and pictures.shape[1:3] != size):
            wanted = ", ".join(map(str, (count, *(size or ("H", "W")), "C")))
            raise DataError(
                f"{self.reader.source.describe(self.video)}: modality {name!r} gives"
                f" {pictures.dtype} {list(pictures.shape)}, not uint8 [{wanted}]; mend its class"
            )
