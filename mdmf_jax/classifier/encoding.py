"""Many videos to features, one bad file at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from mdmf_jax import files
from mdmf_jax.classifier.clips import BadVideo, Clip, ClipReader
from mdmf_jax.classifier.windows import Window
from mdmf_jax.data.transforms.geometry import resize_short_side
from mdmf_jax.data.videos.modalities import RGB
from mdmf_jax.errors import ConfigError, DataError
from mdmf_jax.evaluation.compiled_method import BATCHES, CompiledMethod, Features

PICTURE = 96  # short side of the pictures kept for people, pixels


@dataclass
class Encoded:
    """Videos that could be read, in order.

    Attributes:
      features: name -> [N, ...]; empty if no video could be read.
      kept: positions of these among the videos given [N].
      pictures: small frames of each, uint8 [N, T, h, w, 3]; None if not asked for.
      skipped: the others.
      notes: lines on what was unusual.
      digests: of what the model sees of each; equal ones are the same video.
      clips: of each video by modality, uint8 [V, T, H, W, C]; kept with the pictures, where the
        support videos are encoded together.
    """

    features: Features
    kept: list[int]
    pictures: np.ndarray | None
    skipped: list[BadVideo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    clips: list[Mapping[str, np.ndarray]] = field(default_factory=list)


def encode_videos(
    reader: ClipReader,
    stages: CompiledMethod,
    videos: Sequence[Any],
    on_error: str = "raise",
    pictures: bool = False,
) -> Encoded:
    """Reads and encodes, a batch at a time.

    Args:
      on_error: "raise" stops at the first bad video, "skip" goes on.

    Raises:
      ConfigError: another `on_error`.
      DataError: with "raise", a video cannot be used.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error is {on_error!r}; known: raise, skip")
    done = Encoded({}, [], None)
    features, frames = [], []
    good = _good(reader.read_all(list(videos)), done, on_error)
    while batch := list(islice(good, BATCHES[-1])):
        features.append(_mean_features(stages, [clip.clips for clip in batch]))
        if pictures:
            frames += [picture(clip.clips[RGB][0]) for clip in batch]
            done.clips += [] if stages.alone else [clip.clips for clip in batch]
    if features:
        done.features = joined(features)
    done.pictures = np.stack(frames) if frames else None
    return done


def picture(clip: np.ndarray) -> np.ndarray:
    """A clip [T, H, W, 3] made small."""
    side = min(PICTURE, *clip.shape[1:3])
    return resize_short_side(clip, side)


def digest(clips: np.ndarray) -> str:
    """Names pixels uint8 [V, T, H, W, 3] by their content, wherever they came from."""
    return files.sha256((repr(clips.shape).encode(), clips.tobytes()))[:32]


def _good(results: Iterator[Clip | BadVideo], done: Encoded, on_error: str) -> Iterator[Clip]:
    for position, result in enumerate(results):
        if isinstance(result, BadVideo):
            if on_error == "raise":
                raise DataError(result.reason)
            done.skipped.append(result)
            continue
        done.kept.append(position)
        done.digests.append(digest(next(iter(result.clips.values()))))
        if result.note:
            done.notes.append(result.note)
        yield result


def encode_windows(
    stages: CompiledMethod, windows: Iterator[Window]
) -> tuple[np.ndarray, Features]:
    """Bounds in seconds [N, 2] and features of windows, name -> [N, ...], a batch at a time."""
    bounds, features = [], []
    while batch := list(islice(windows, BATCHES[-1])):
        bounds += [window[:2] for window in batch]
        features.append(_mean_features(stages, [window.clips for window in batch]))
    return np.array(bounds), joined(features)


def joined(parts: Sequence[Features]) -> Features:
    """Features of several batches as those of one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _mean_features(stages: CompiledMethod, videos: Sequence[Mapping[str, np.ndarray]]) -> Features:
    """Features of videos, name -> [N, ...], the mean over the test clips of each.

    Args:
      videos: the clips of each by modality, uint8 [V, T, H, W, C].
    """
    count = len(next(iter(videos[0].values())))
    clips = {name: np.concatenate([video[name] for video in videos]) for name in videos[0]}
    encoded = stages.features(clips)
    return {
        name: x.reshape(len(videos), count, *x.shape[1:]).mean(1) for name, x in encoded.items()
    }
