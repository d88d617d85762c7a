"""Divide the classes of one's own data set into train, val and test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdmf_jax.data.protocols.class_folders import class_folders, folder_order, videos_by_stem
from mdmf_jax.data.protocols.lists import write_list
from mdmf_jax.data.protocols.protocol import SPLITS
from mdmf_jax.errors import ConfigError, DataError


def draw_split(
    root: str | Path, seed: int = 0, shares: Sequence[float] = (0.6, 0.2, 0.2), frames: bool = False
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Give each class in root/class to one split, at random.

    Classes are divided, not videos: a few-shot test is about classes never seen in training.
    The result depends on the seed and on the names of the class folders only.

    Args:
      root: folder with one folder for each class.
      seed: 0 or more.
      shares: of train, val and test; positive, need not add up to 1. Each split gets at
        least one class.
      frames: a video is a folder of images instead of a file.

    Returns:
      By split and class folder, the names of the videos without extension, ascending.

    Raises:
      ConfigError: bad shares or seed.
      DataError: no such folder, a class without videos, or fewer classes than splits.
    """
    root = Path(root)
    if len(shares) != len(SPLITS) or not all(0 < share < float("inf") for share in shares):
        raise ConfigError(f"--shares is {shares}; give three positive numbers such as 0.6,0.2,0.2")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}; it must be at least 0")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the class folders")
    classes = folder_order(class_folders(root))
    if len(classes) < len(SPLITS):
        raise DataError(
            f"{root}: has {len(classes)} class folders, but each of {', '.join(SPLITS)} needs one"
        )
    videos = {class_: tuple(sorted(videos_by_stem(root / class_, frames))) for class_ in classes}
    empty = [class_ for class_ in classes if not videos[class_]]
    if empty:
        raise DataError(f"{root / empty[0]}: holds no videos; add some or remove the folder")
    # As for episodes: NumPy keeps the plain stream of `random` from version to version.
    draws = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).random(len(classes))
    shuffled = [classes[i] for i in np.argsort(draws, kind="stable")]
    ends = np.cumsum(_sizes(len(classes), shares))
    splits = np.split(np.array(shuffled, dtype=object), ends[:-1])
    return {
        split: {class_: videos[class_] for class_ in folder_order(chosen)}
        for split, chosen in zip(SPLITS, splits, strict=True)
    }


def write_lists(splits: dict[str, dict[str, tuple[str, ...]]], out: str | Path) -> list[Path]:
    """Write {split}list.txt with one line class/video for each video; returns the paths.

    Raises:
      DataError: a list is there already, or the folder cannot be written.
    """
    out = Path(out)
    paths = [out / f"{split}list.txt" for split in splits]
    for path in paths:
        if path.exists():
            raise DataError(f"{path}: exists already; give another folder or remove it")
    for path, classes in zip(paths, splits.values(), strict=True):
        write_list(path, (f"{class_}/{video}" for class_, vs in classes.items() for video in vs))
    return paths


def _sizes(count: int, shares: Sequence[float]) -> np.ndarray:
    """Whole numbers near the shares that add up to `count`, each at least 1."""
    exact = np.array(shares) / sum(shares) * count
    sizes = np.maximum(1, np.floor(exact).astype(int))
    while sizes.sum() != count:
        # The split that is furthest below (or above) its share gives way; never below 1.
        step = 1 if sizes.sum() < count else -1
        gaps = np.where(sizes + step >= 1, step * (exact - sizes), -np.inf)
        sizes[np.argmax(gaps)] += step
    return sizes
