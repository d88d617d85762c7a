"""What the features of a part's videos depend on, for the key under which they are stored."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mdmf_jax
from mdmf_jax.config.affecting import affecting
from mdmf_jax.config.fields import FEATURE_KEY
from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.evaluation.features.contents import ContentTable, video_contents
from mdmf_jax.evaluation.features.shared import digest


def feature_content(
    settings: Mapping[str, Any], vision: Any, encoder_params: Any
) -> dict[str, Any]:
    """The encoder's share: parameters, shape, and the settings of clips and pixels.

    Args:
      settings: as `config.to_dict` gives them.
      vision: configuration of the image tower.
    """
    return {
        "version": mdmf_jax.__version__,
        "encoder": digest(encoder_params),
        "vision": repr(vision),
        "settings": affecting(settings, *FEATURE_KEY),
    }


def part_content(
    source: VideoSource, root: str | Path, folder: Path, workers: int
) -> dict[str, Any]:
    """The videos' share: their ids, which name random draws, and what they hold.

    Args:
      root: of the data set.
      folder: of the cache, where the checksums of the files are kept.

    Raises:
      DataError: a file cannot be read, or the checksums cannot be stored.
    """
    split = source.split
    where = hashlib.sha256(source.describe(0).encode()).hexdigest()[:16]
    table = ContentTable(folder / "contents" / f"{split.part}-{where}.json")
    contents = video_contents(source, root, table, workers)
    table.save()
    return {"part": split.part, "ids": list(split.ids), "contents": contents}
