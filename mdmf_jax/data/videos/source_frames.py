"""Videos as folders of images: class/video/*.jpg or *.png, in the order of their names."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 64_000_000


class FrameFolders:
    """The videos of a split, each a folder of images; see `sources.VideoSource`."""

    def __init__(self, root: str | Path, split: Split) -> None:
        self.root = Path(root)
        self.split = split
        self._classes = np.repeat(np.arange(len(split.folders)), split.counts)
        # Two threads may list the same folder at once; both store the same, so no lock.
        self._names: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return self.split.num_videos

    def class_of(self, item: int) -> int:
        return int(self._classes[item])

    def describe(self, item: int) -> str:
        return str(self.root / self.split.paths[item])

    def num_frames(self, item: int) -> int:
        return len(self._images(item))

    def frames(self, item: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        names, folder = self._images(item), self.describe(item)
        wanted = [int(index) for index in indices]
        check_indices(folder, wanted, len(names))
        images = {i: read_image(os.path.join(folder, names[i])) for i in sorted(set(wanted))}
        shapes = {image.shape for image in images.values()}
        if len(shapes) > 1:
            raise DataError(f"{folder}: its images differ in size; make them all the same size")
        return np.stack([images[index] for index in wanted])

    def all_frames(self, item: int) -> np.ndarray:
        return self.frames(item, range(self.num_frames(item)))

    def _images(self, item: int) -> list[str]:
        if item not in self._names:
            self._names[item] = image_names(self.describe(item))
        return self._names[item]


def image_names(folder: str | Path) -> list[str]:
    """Names of the images of a video; numbers in names count as numbers: 2.jpg before 10.jpg.

    Raises:
      DataError: the folder is missing or holds no images.
    """
    try:
        names = [name for name in os.listdir(folder) if is_image(name)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    if not names:
        raise DataError(f"{folder}: holds no .jpg or .png images; replace or remove the folder")
    return sorted(names, key=lambda name: (_parts(name), name))


def is_image(name: str) -> bool:
    """Whether a file counts as a frame, by its name."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _parts(name: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pieces if p]


def read_image(path: str | Path | BinaryIO) -> np.ndarray:
    """A JPEG or PNG image in RGB, uint8 [H, W, 3]; grey images get three equal channels.

    Raises:
      DataError: the file is not an image, is damaged, or is too large.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{path}: is {width} x {height} pixels, more than {MAX_PIXELS:,};"
                    " scale the image down"
                )
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: is not a JPEG or PNG image; replace or remove it") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is damaged ({error}); replace or remove it") from error


def check_indices(name: str, wanted: Sequence[int], count: int) -> None:
    """Raises DataError unless all of `wanted` are numbers of frames of a video of `count`."""
    if not wanted or min(wanted) < 0:
        raise DataError(f"{name}: frame numbers must be 0 or more, got {list(wanted)}")
    if max(wanted) >= count:
        raise DataError(
            f"{name}: has {count} frames, frame number {max(wanted)} (from 0) was asked for"
        )
