"""The splits of the videos on disk, and what a protocol expects to be there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mdmf_jax.data.protocols.protocol import SPLITS, load
from mdmf_jax.data.protocols.splits import Split, load_split
from mdmf_jax.data.videos.sources import find_kind
from mdmf_jax.errors import ConfigError, DataError

FOLDERS = "folders"  # instead of a protocol's name


@dataclass(frozen=True)
class Expected:
    """What is there, and what should be.

    Attributes:
      protocol: its name, or "".
      splits: with the videos that are on disk.
      counts: for each split, videos that each class should have, by class folder.
      missing: listed videos that are not on disk, "class/video".
    """

    protocol: str
    splits: tuple[Split, ...]
    counts: Mapping[str, Mapping[str, int]]
    missing: tuple[str, ...]


def load_expected(root: str | Path, name: str, lists: str | Path) -> Expected:
    """Finds the videos of all splits.

    Args:
      root: folder of video files or of folders of images.
      name: of a protocol, or "folders": the splits are the folders train, val and test of the
        root, or the list files.
      lists: folder of list files, or "".

    Raises:
      ConfigError: the protocol is unknown, or the data set is prepared already.
      DataError: videos or lists are missing or malformed.
    """
    kind = find_kind("auto", root)
    if kind == "prepared":
        raise ConfigError(f"--videos={root} is prepared already; give the folder of the videos")
    protocol = None if name == FOLDERS else load(name)
    splits = SPLITS
    if protocol is None and not lists:
        splits = [split for split in SPLITS if (Path(root) / split).is_dir()]
        if not splits:
            raise DataError(
                f"{root}: has no folder train, val or test; put the videos in train/CLASS/ and"
                " so on, or give --lists (mdmf splits draw makes some)"
            )
    missing: list[str] = []
    splits = tuple(
        load_split(root, lists, split, protocol, frames=kind == "frames", missing=missing)
        for split in splits
    )
    counts = {}
    for split in splits:
        counts[split.name] = dict(zip(split.folders, split.counts.tolist(), strict=True))
        if protocol:
            classes = protocol.classes_of(split.name)
            counts[split.name] |= {class_.folder: class_.count for class_ in classes}
    return Expected(protocol.name if protocol else "", splits, counts, tuple(missing))
