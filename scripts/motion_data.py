"""Videos that the motion encoder is trained on: generated gestures, and the faults of cameras."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdmf_jax.data.demo.people.clip import LIMBS, training_clip
from mdmf_jax.data.demo.people.gestures import draw_gesture

FRAMES, SIDE = 32, 54  # a little more than the encoder sees, so that a part can be cut out
_CHUNK = 50  # classes


class Videos(NamedTuple):
    """Grey videos uint8 [classes, videos, FRAMES, SIDE, SIDE], and where the limbs are in them,
    float32 [classes, videos, FRAMES, LIMBS, 2]."""

    pixels: np.ndarray
    limbs: np.ndarray


def make_videos(path: Path, classes: int, videos: int, seed: int, workers: int) -> Videos:
    """Videos in files path.npy and path_limbs.npy, made unless they are there.

    Class c of a seed is the same, however many there are.
    """
    shape = (classes, videos, FRAMES)
    sizes = {path: ((SIDE, SIDE), np.uint8), limbs_path(path): ((len(LIMBS), 2), np.float32)}
    if not all(p.is_file() and np.load(p, mmap_mode="r").shape[:2] == shape[:2] for p in sizes):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = [
            np.lib.format.open_memmap(p, "w+", kind, shape + size)
            for p, (size, kind) in sizes.items()
        ]
        chunks = [range(i, min(i + _CHUNK, classes)) for i in range(0, classes, _CHUNK)]
        with ProcessPoolExecutor(workers) as pool:
            parts = pool.map(partial(_chunk, seed, videos), chunks)
            for chunk, part in zip(chunks, parts, strict=True):
                for file, some in zip(made, part, strict=True):
                    file[chunk.start : chunk.stop] = some
        for file in made:
            file.flush()
    return Videos(*(np.load(p, mmap_mode="r") for p in sizes))


def limbs_path(path: Path) -> Path:
    """File of the limbs beside that of the pixels."""
    return path.with_name(f"{path.stem}_limbs.npy")


def _chunk(seed: int, videos: int, classes: range) -> tuple[np.ndarray, np.ndarray]:
    made = []
    for number in classes:
        rng = np.random.default_rng([seed, number])
        gesture = draw_gesture(rng)
        made += [training_clip(gesture, FRAMES, SIDE, SIDE, rng) for _ in range(videos)]
    shape = (len(classes), videos)
    pixels, limbs = (np.stack(part) for part in zip(*made, strict=True))
    return pixels.reshape(*shape, *pixels.shape[1:]), limbs.reshape(*shape, *limbs.shape[1:])


def degrade(
    pixels: np.ndarray, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Parts of videos as poor cameras and codecs give them.

    Args:
      pixels: uint8 [N, F, SIDE, SIDE].

    Returns:
      uint8 [N, F, side, side], and the numbers of the frames shown, int64 [N, F].
    """
    shown = [_shown(len(video), rng) for video in pixels]
    made = [_degraded(v[n], side, rng) for v, n in zip(pixels, shown, strict=True)]
    return np.stack(made), np.stack(shown)


def _shown(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the frames that a video shows."""
    if rng.random() < 0.4:  # a part of the time; some frames come twice
        start, stop = rng.uniform(0, 0.15), rng.uniform(0.85, 1)
        return (np.linspace(start, stop, frames) * (frames - 1)).round().astype(int)
    lost = rng.random(frames) < rng.choice([0, rng.uniform(0, 0.3)], p=[0.8, 0.2])
    lost[0] = False
    return np.maximum.accumulate(np.where(lost, 0, np.arange(frames)))


def _degraded(video: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    top, left = rng.integers(0, video.shape[1] - side + 1, 2)
    x = video[:, top : top + side, left : left + side].astype(np.float32)
    if rng.random() < 0.3:  # out of focus
        around = np.roll(x, 1, 1) + np.roll(x, 1, 2) + np.roll(x, -1, 1) + np.roll(x, -1, 2)
        x = (around + 2 * x) / 6
    x = 255 * (x / 255) ** rng.uniform(0.7, 1.5) * rng.uniform(0.6, 1.0) + rng.uniform(0, 25)
    x += np.exp(rng.uniform(-1.5, 1.5)) * rng.standard_normal(x.shape, np.float32)
    if rng.random() < 0.5:
        x = _held_blocks(x, int(rng.integers(2, 5)), rng.uniform(1, 5), int(rng.integers(6, 40)))
    if rng.random() < 0.1:  # black bars
        wide = int(rng.integers(2, 10))
        x[:, :, :wide] = x[:, :, -wide:] = 0
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _held_blocks(x: np.ndarray, block: int, least: float, interval: int) -> np.ndarray:
    """What codecs do: a block stays as it was until it changes enough, or a key frame comes."""
    side = x.shape[1]
    cells = -(-side // block)
    held = x[0]
    out = [held]
    for number, frame in enumerate(x[1:], 1):
        wide = np.zeros((cells * block, cells * block), np.float32)
        wide[:side, :side] = np.abs(frame - held)
        change = wide.reshape(cells, block, cells, block).mean((1, 3))
        fresh = np.repeat(np.repeat(change > least, block, 0), block, 1)[:side, :side]
        held = frame if number % interval == 0 else np.where(fresh, frame, held)
        out.append(held)
    return np.stack(out)
