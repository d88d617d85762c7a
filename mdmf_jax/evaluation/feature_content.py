"""What the features of a part's videos depend on, for the key under which they are stored."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mdmf_jax
from mdmf_jax.config import Config, DataSection
from mdmf_jax.data.sources import VideoSource
from mdmf_jax.evaluation.contents import ContentTable, video_contents
from mdmf_jax.evaluation.shared_features import digest

# Settings of the data that do not change a test clip; all others count as if they did. Where
# videos lie and how they are stored shows in their contents.
_UNIMPORTANT = {
    "dataset", "root", "source", "protocol", "splits", "flip", "jitter", "left_right", "cache",
    "loader", "workers", "prompt_order",
}  # fmt: skip


def feature_content(config: Config, vision: Any, encoder_params: Any) -> dict[str, Any]:
    """The encoder's share: parameters, shape, and the settings of clips and pixels.

    Args:
      vision: configuration of the image tower.
    """
    data = {k: v for k, v in asdict(config.data).items() if k not in _UNIMPORTANT}
    return {
        "version": mdmf_jax.__version__,
        "encoder": digest(encoder_params),
        "vision": repr(vision),
        "clip": [config.clip.normalise, config.clip.dtype, config.clip.attention],
        "data": data,
        "seed": config.seed,
    }


def part_content(source: VideoSource, data: DataSection, folder: Path) -> dict[str, Any]:
    """The videos' share: their ids, which name random draws, and what they hold.

    Args:
      folder: of the cache, where the checksums of the files are kept.

    Raises:
      DataError: a file cannot be read, or the checksums cannot be stored.
    """
    split = source.split
    where = hashlib.sha256(source.describe(0).encode()).hexdigest()[:16]
    table = ContentTable(folder / "contents" / f"{split.part}-{where}.json")
    contents = video_contents(source, data.root, table, data.workers)
    table.save()
    return {"part": split.part, "ids": list(split.ids), "contents": contents}
