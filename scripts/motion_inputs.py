"""What the motion network is trained on: motion maps of degraded videos, and limbs to name."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from motion_data import LIMBS, Videos, degrade, make_videos

from mdmf_jax.ops.motion_maps import motion_maps

SIDE = 48
_CHUNK = 10  # classes
# Of the limbs, in metres: usual place, spread, and movement from frame to frame.
_PLACE = np.array(
    [(0.2, -0.3), (-0.2, -0.3), (0, 1.6), (0, 1.43), (0, 0.93), (0.14, 0.05), (-0.14, 0.05)]
)
_SPREAD, _MOVEMENT = 0.15, 0.05


class Inputs(NamedTuple):
    """Maps float16 [classes, videos, M, h, w, 6], and places and movements of the limbs
    float16 [classes, videos, M, 4 LIMBS]."""

    maps: np.ndarray
    limbs: np.ndarray


def make_inputs(path: Path, classes: int, videos: int, seed: int, workers: int) -> Inputs:
    """Maps of generated videos, in a file; both made unless they are there."""
    file = path.with_name(f"{path.stem}_maps.npz")
    if file.is_file():
        with np.load(file) as found:
            return Inputs(found["maps"], found["limbs"])
    make_videos(path, classes, videos, seed, workers)
    chunks = [range(i, min(i + _CHUNK, classes)) for i in range(0, classes, _CHUNK)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        parts = list(pool.map(partial(_chunk, path, classes, videos, seed), chunks))
    made = Inputs(*(np.concatenate(x) for x in zip(*parts, strict=True)))
    np.savez(file, **made._asdict())
    return made


def _chunk(path: Path, classes: int, several: int, seed: int, chunk: range):
    videos = make_videos(path, classes, several, seed, 1)
    rng = np.random.default_rng([seed, chunk.start])
    pixels, limbs = (x[chunk.start : chunk.stop] for x in videos)
    pixels, limbs = (x.reshape(-1, *x.shape[2:]) for x in (pixels, limbs))
    seen, shown = degrade(pixels, SIDE, rng)
    maps = np.asarray(_compiled()(seen), np.float16)
    named = limb_targets(limbs, shown)
    shape = (len(chunk), several)
    return maps.reshape(*shape, *maps.shape[1:]), named.reshape(*shape, *named.shape[1:])


@cache
def _compiled():
    return jax.jit(lambda x: motion_maps(jnp.asarray(x, jnp.float32) / 255))


def limb_targets(limbs: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Places and movements of the limbs in each moment, about 0 and 1 wide, [N, M, 4 LIMBS].

    Args:
      limbs: metres [N, F, LIMBS, 2].
      shown: numbers of the frames shown [N, F].
    """
    limbs = limbs[np.arange(len(limbs))[:, None], shown]
    movement = np.diff(limbs, axis=1, append=limbs[:, -1:])
    both = np.concatenate([(limbs - _PLACE) / _SPREAD, movement / _MOVEMENT], -1)
    both = both.reshape(len(both), both.shape[1] // 2, 2, -1).mean(2)
    return np.clip(both, -4, 4).astype(np.float16)


def draw_batch(inputs: Inputs, classes: int, several: int, rng: np.random.Generator):
    """Maps [N, M, h, w, 6] and limbs [N, M, 4 LIMBS], class after class, each video varied."""
    chosen = np.sort(rng.permutation(len(inputs.maps))[:classes])
    videos = [rng.permutation(inputs.maps.shape[1])[:several] for _ in chosen]
    maps = np.concatenate([inputs.maps[c][v] for c, v in zip(chosen, videos, strict=True)])
    limbs = np.concatenate([inputs.limbs[c][v] for c, v in zip(chosen, videos, strict=True)])
    return np.stack([_varied(x, rng) for x in maps.astype(np.float32)]), limbs.astype(np.float32)


def _varied(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maps [M, h, w, 6] moved by a cell, stronger or weaker, noisy, and with a part hidden."""
    maps = np.roll(maps, rng.integers(-1, 2, 2), (1, 2))
    maps = maps * rng.uniform(0.75, 1.3, 6).astype(np.float32)
    if rng.random() < 0.3:
        row, column = rng.integers(0, maps.shape[1] - 3, 2)
        maps[:, row : row + 4, column : column + 4] = 0
    return maps + rng.uniform(0, 0.04) * np.abs(rng.standard_normal(maps.shape, np.float32))


__all__ = ["LIMBS", "Inputs", "Videos", "draw_batch", "make_inputs"]
