"""The demo data set: 64 made-up actions, each a pair of simple motions, as real video files.

A class is an ordered pair of eight motions, "moving left then growing" for example. Telling
"A then B" from "B then A" needs the order of the frames. The 28 pairs of two different motions
are dealt out once and for all, both orders of a pair always to the same split:

* test: 8 pairs (16 classes), each motion in two of them;
* val: 4 pairs (8 classes), each motion in one of them;
* train: the other 16 pairs, each motion with four partners, and the 8 classes "A then A"
  (40 classes).

Of the pairs of opposites, left and right are in test, up and down in val, growing and shrinking
in train, so that each split holds one pair that only the order of the frames tells apart.
"""

import os
from pathlib import Path

import numpy as np

from mdmf_jax.data.demo import store as demo_store
from mdmf_jax.data.demo.render import MOTIONS, render_clip
from mdmf_jax.data.protocols.protocol import SPLITS
from mdmf_jax.errors import DataError
from mdmf_jax.files import cache_folder

GENERATOR = 1  # raise it when the pictures change, so that old caches are not used
CLIPS = 30

TEST_PAIRS = (
    ("moving left", "moving right"),
    ("moving right", "moving down"),
    ("moving down", "shrinking"),
    ("shrinking", "blinking"),
    ("blinking", "growing"),
    ("growing", "moving up"),
    ("moving up", "spinning"),
    ("spinning", "moving left"),
)
VAL_PAIRS = (
    ("moving up", "moving down"),
    ("moving left", "growing"),
    ("moving right", "shrinking"),
    ("spinning", "blinking"),
)


def demo_classes(split: str) -> tuple[tuple[str, str], ...]:
    """The (first motion, second motion) pairs of "train", "val" or "test", in folder order."""
    held_out = {"test": TEST_PAIRS, "val": VAL_PAIRS}
    taken = {name: {frozenset(pair) for pair in pairs} for name, pairs in held_out.items()}
    chosen = []
    for first in MOTIONS:
        for second in MOTIONS:
            pair = frozenset((first, second))
            home = next((name for name, pairs in taken.items() if pair in pairs), "train")
            if home == split:
                chosen.append((first, second))
    return tuple(sorted(chosen, key=lambda pair: demo_folder(*pair)))


def demo_folder(first: str, second: str) -> str:
    """Folder of a class: "moving_left_then_growing"."""
    return f"{first} then {second}".replace(" ", "_")


def demo_clip(first: str, second: str, clip: int, seed: int = 0) -> np.ndarray:
    """Frames of clip number `clip` (from 1), uint8 [N, 64, 64, 3], before compression."""
    key = demo_store.checksum(demo_folder(first, second).encode())
    sequence = np.random.SeedSequence([seed, key, clip])
    return render_clip(first, second, np.random.Generator(np.random.Philox(sequence)))


def ensure_demo(
    cache_dir: str | Path | None = None,
    seed: int = 0,
    clips: int = CLIPS,
    workers: int | None = None,
) -> Path:
    """Folder of the demo data set; makes the videos at the first call and checks them later.

    Args:
      cache_dir: folder that keeps generated data; None is `cache_folder()`.
      seed: another seed gives other clips of the same classes.
      clips: videos per class.
      workers: encoding threads; None is one per processor.

    Returns:
      `root` with root/videos/CLASS/CLASS_0001.mp4 and root/splits/{train,val,test}list03.txt.

    Every file's size and checksum is compared with the manifest; missing or damaged files are
    made again. Two processes may call this at once: the second waits for the first.

    Raises:
      DataError: `clips` or `seed` is out of range, or the folder cannot be written.
    """
    if clips < 1 or seed < 0:
        raise DataError(f"demo data: clips={clips}, seed={seed}; need clips >= 1 and seed >= 0")
    cache = Path(cache_dir).expanduser() if cache_dir else cache_folder()
    root = cache.absolute() / f"demo-v{GENERATOR}-seed{seed}-clips{clips}"
    identity = {"generator": GENERATOR, "seed": seed, "clips": clips}
    makers = _makers(seed, clips)
    try:
        demo_store.ensure(root, identity, makers, workers or os.cpu_count() or 1)
    except OSError as error:
        raise DataError(
            f"{root}: cannot write the demo videos ({error.strerror or error});"
            " set MDMF_CACHE to a folder with 50 MB of free space"
        ) from error
    return root


def _makers(seed: int, clips: int) -> dict[str, demo_store.Maker]:
    """For each file of the data set, relative to its root, a function that makes its bytes."""
    makers: dict[str, demo_store.Maker] = {}
    for split in SPLITS:
        lines = []
        for first, second in demo_classes(split):
            folder = demo_folder(first, second)
            for clip in range(1, clips + 1):
                video = f"{folder}/{folder}_{clip:04d}"
                lines.append(f"{video}\n")
                makers[f"videos/{video}.mp4"] = _VideoMaker(first, second, clip, seed)
        makers[f"splits/{split}list03.txt"] = "".join(lines).encode
    return makers


class _VideoMaker:
    """Makes the bytes of one video when called."""

    def __init__(self, *clip) -> None:
        self.clip = clip

    def __call__(self) -> bytes:
        return demo_store.encode_mp4(demo_clip(*self.clip))
