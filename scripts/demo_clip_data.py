"""Demo videos in memory, and random draws from them, for training the demo's small CLIP."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdmf_jax.data.transforms.geometry import resize_short_side
from mdmf_jax.data.videos.video import read_video

RESIZE, CROP = 36, 32  # short side, pixels


@dataclass(frozen=True)
class Clips:
    """All videos of a split, decoded and made small.

    frames: uint8 [all frames, 36, 36, 3]; video i has `lengths[i]` of them from `starts[i]`.
    labels: class of each video; names: of the classes, in words.
    """

    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def load_clips(root: Path, split: str) -> Clips:
    """Decodes the videos of one split of the demo data set (its list 03)."""
    lines = (root / f"splits/{split}list03.txt").read_text().split()
    folders = sorted({line.split("/")[0] for line in lines})
    with ThreadPoolExecutor(2) as pool:
        paths = [root / f"videos/{line}.mp4" for line in lines]
        videos = list(pool.map(lambda path: resize_short_side(read_video(path), RESIZE), paths))
    lengths = np.array([len(video) for video in videos])
    return Clips(
        frames=np.concatenate(videos),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        labels=np.array([folders.index(line.split("/")[0]) for line in lines]),
        names=tuple(folder.replace("_", " ") for folder in folders),
    )


def training_draw(clips: Clips, which: np.ndarray, frames: int, rng: np.random.Generator):
    """Random views of videos `which`: uint8 [B, frames, 32, 32, 3].

    One frame at random from each of `frames` equal stretches of a video; one crop, one order of
    the colour channels and one choice of negative or positive per video.
    """
    edges = np.linspace(0, 1, frames + 1)[:-1] + rng.random((len(which), frames)) / frames
    indices = clips.starts[which][:, None] + (edges * clips.lengths[which][:, None]).astype(int)
    batch = clips.frames[indices]
    corners = rng.integers(0, RESIZE - CROP + 1, (len(which), 2))
    views = [
        video[:, y : y + CROP, x : x + CROP, rng.permutation(3)]
        for video, (y, x) in zip(batch, corners, strict=True)
    ]
    negative = rng.random((len(which), 1, 1, 1, 1)) < 0.5
    return np.where(negative, 255 - np.stack(views), np.stack(views))


def test_draw(clips: Clips, frames: int) -> np.ndarray:
    """Equally spaced frames, centre crop, of every video: uint8 [videos, frames, 32, 32, 3]."""
    spaced = np.linspace(1, clips.lengths - 2, frames).astype(int).T
    corner = (RESIZE - CROP) // 2
    span = slice(corner, corner + CROP)
    return clips.frames[clips.starts[:, None] + spaced][:, :, span, span]
