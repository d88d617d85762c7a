"""A clip from any input: a video file, a folder of images, or an array of frames."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdmf_jax.classifier.settings import ClipSettings
from mdmf_jax.data.episodes.test_clips import ClipRules, read_test_clips
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.modalities import RGB
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.data.videos.source_frames import check_indices, image_names, is_image, read_image
from mdmf_jax.data.videos.video import SUFFIXES, count_frames, open_video, read_frames
from mdmf_jax.errors import DataError

LEAST_FRAMES = 2  # a single picture shows no action


class Clip(NamedTuple):
    """What a model sees of a video.

    Attributes:
      clips: its test clips by modality, uint8 [V, T, H, W, C]; V is 1 unless the settings ask
        for several.
      note: "" or a line on what was unusual.
    """

    clips: dict[str, np.ndarray]
    note: str


class BadVideo(NamedTuple):
    """An input that could not be used, and why (one line that names it)."""

    source: str
    reason: str


class ClipReader:
    """Reads test clips as the settings of a model say: those that an evaluation of it reads.

    Args:
      settings: of the model.
      workers: threads of `read_all`.
      modalities: what a clip holds; names in `MODALITIES`.
    """

    def __init__(
        self, settings: ClipSettings, workers: int | None = None, modalities: Sequence[str] = (RGB,)
    ):
        self._pipeline = Pipeline(settings.pipeline, settings.resize, settings.crop)
        self._rules = ClipRules(
            settings.frames, settings.sampling, settings.test_clips, settings.seed
        )
        self._modalities = tuple(modalities)
        self._workers = workers or min(8, os.cpu_count() or 1)

    @property
    def frames(self) -> int:
        """T, frames of a clip."""
        return self._rules.frames

    @property
    def test_clips(self) -> int:
        """V, clips whose features are averaged."""
        return self._rules.count

    def read(self, video: Any, name: str = "") -> Clip:
        """The clips of one input.

        Args:
          video: path of a video file or of a folder of images, or frames uint8 [N, H, W, 3].
          name: in messages; by default the path.

        Raises:
          DataError: it cannot be read, or has a single frame.
        """
        source = _source_of(video, name or describe(video))
        count = source.num_frames()
        if count < LEAST_FRAMES:
            raise DataError(f"{source.name}: has 1 frame, an action needs at least {LEAST_FRAMES}")
        note = ""
        if count < self.frames:
            counts = f"has {count} frames, so that of {self.frames} some repeat"
            note = str(DataError(f"{source.name}: {counts}"))  # without control sequences
        return Clip(self._cut(source), note)

    def cut(self, frames: Sequence[np.ndarray], name: str) -> dict[str, np.ndarray]:
        """Test clips of a video whose frames are at hand, by modality uint8 [V, T, H, W, C].

        Args:
          frames: as `held` gives them.
          name: in messages.
        """
        return self._cut(
            _Source(name, len(frames), lambda indices: np.stack([frames[i] for i in indices]))
        )

    def read_all(
        self, videos: list[Any], names: list[str] | None = None
    ) -> Iterator[Clip | BadVideo]:
        """The clips in order, read ahead by threads; a BadVideo in place of each that fails."""
        names = names or [describe(video) for video in videos]

        def work(pair: tuple[Any, str]) -> Clip | BadVideo:
            try:
                return self.read(*pair)
            except DataError as error:
                return BadVideo(pair[1], str(error))

        ahead = 4 * self._workers
        with ThreadPoolExecutor(self._workers) as pool:
            for start in range(0, len(videos), ahead):
                part = slice(start, start + ahead)
                yield from pool.map(work, zip(videos[part], names[part], strict=True))

    def held(self, frame: np.ndarray) -> np.ndarray:
        """What is to be kept of a frame [H, W, 3] for `cut`: resized if nothing else is needed."""
        return self.scale(frame[None])[0] if self._modalities == (RGB,) else frame

    def scale(self, frames: np.ndarray) -> np.ndarray:
        """Resized frames, uint8 [N, H', W', 3]."""
        return self._pipeline.scale(frames)

    def _cut(self, source: "_Source") -> dict[str, np.ndarray]:
        reader = VideoReader(source, self._pipeline, modalities=self._modalities)
        clips = read_test_clips(reader, 0, self._rules, range(self.test_clips))
        return {name: np.stack([clip[name] for clip in clips]) for name in self._modalities}


class _Source:
    """A single video as a source of videos; see `mdmf_jax.data.videos.sources.VideoSource`."""

    def __init__(self, name: str, count: int, read: Callable[[np.ndarray], np.ndarray]) -> None:
        self.name, self._count, self._read = name, count, read
        self.split = Split("video", ("",), ("",), ((name,),))

    def __len__(self) -> int:
        return 1

    def class_of(self, item: int) -> int:
        return 0

    def describe(self, item: int = 0) -> str:
        return self.name

    def num_frames(self, item: int = 0) -> int:
        return self._count

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._read(np.asarray(indices))

    def all_frames(self, item: int = 0) -> np.ndarray:
        return self._read(np.arange(self._count))


def _source_of(video: Any, name: str) -> _Source:
    if isinstance(video, np.ndarray):
        check_frames(video, name)
        return _Source(name, len(video), lambda indices: video[indices])
    path = Path(os.fspath(video))
    if not path.is_dir():
        return _Source(name, count_frames(path), lambda indices: read_frames(path, indices))
    names = image_names(path)
    return _Source(name, len(names), lambda indices: read_images(path, names, indices))


def check_frames(video: np.ndarray, name: str) -> None:
    """Raises DataError unless it is an array of frames, uint8 [N, H, W, 3] with N >= 1."""
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3 or not video.size:
        raise DataError(
            f"{name}: is an array {video.dtype} {list(video.shape)}; frames must be uint8 "
            "[N, H, W, 3] with N of at least 1"
        )


def read_images(folder: Path, names: list[str], indices: np.ndarray) -> np.ndarray:
    """Images of a folder, uint8 [T, H, W, 3].

    Raises:
      DataError: one cannot be read, or they differ in size.
    """
    check_indices(str(folder), [int(i) for i in indices], len(names))
    images = [read_image(folder / names[i]) for i in indices]
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{folder}: its images differ in size; make them all the same size")
    return np.stack(images)


def timed_frames(video: Any, rate: float, name: str = "") -> Iterator[tuple[float, np.ndarray]]:
    """Frames with their times in seconds from the first, (time, uint8 [H, W, 3]).

    Args:
      rate: frames a second of inputs without times: arrays and folders of images.

    Raises:
      DataError: the input cannot be read, or is a file without times.
    """
    name = name or describe(video)
    if not isinstance(video, np.ndarray) and not Path(os.fspath(video)).is_dir():
        with open_video(video) as opened:
            for frame in opened.pixels():
                number = opened.decoded - 1
                # The duration counts the last frame as shown; without it, its time remains.
                time = opened.seconds * number / opened.decoded
                if number and not time:
                    raise DataError(f"{name}: holds no times; convert it, to .mp4 for example")
                yield time, frame
        return
    source = _source_of(video, name)
    for number in range(source.num_frames()):
        yield number / rate, source.frames(0, [number])[0]


def describe(video: Any) -> str:
    """An input in words."""
    if isinstance(video, np.ndarray):
        return f"an array of {len(video) if video.ndim else 0} frames"
    return os.fspath(video)


def several(videos: Any) -> list[Any]:
    """A list of videos, also of a single one."""
    single = isinstance(videos, str | os.PathLike)
    if single or (isinstance(videos, np.ndarray) and videos.ndim == 4):
        return [videos]
    return list(videos)


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a video's suffix, or a folder of images."""
    if path.is_dir():
        return any(is_image(entry.name) for entry in path.iterdir() if entry.is_file())
    return path.name.lower().endswith(SUFFIXES)
