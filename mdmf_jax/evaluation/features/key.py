"""What the features of a split's videos depend on, for the key under which they are stored."""

from pathlib import Path
from typing import Any

import mdmf_jax
from mdmf_jax import files
from mdmf_jax.config.affecting import affecting
from mdmf_jax.config.config import Config
from mdmf_jax.config.fields import FEATURE_KEY
from mdmf_jax.data.videos.sources import VideoSource
from mdmf_jax.evaluation.features.contents import ContentTable, video_contents
from mdmf_jax.evaluation.features.shared import digest
from mdmf_jax.model import FewShotModel


def encoder_content(config: Config, model: FewShotModel, encoder_params: Any) -> dict[str, Any]:
    """The encoder's share: parameters, sizes, and the settings of clips and pixels."""
    return {
        "version": mdmf_jax.__version__,
        "encoder": digest(encoder_params),
        "sizes": repr(model.encoder.sizes),
        "features": sorted(model.encoder.wanted),
        # Where videos lie and how they are stored shows in their contents.
        "settings": affecting(config, *FEATURE_KEY),
    }


def split_content(
    source: VideoSource, root: str | Path, folder: files.AnyPath, workers: int
) -> dict[str, Any]:
    """The videos' share: their ids, which name random draws, and what they hold.

    Args:
      root: of the data set.
      folder: of the cache, where the checksums of the files are kept.

    Raises:
      DataError: a file cannot be read, or the checksums cannot be stored.
    """
    split = source.split
    where = files.sha256(source.describe(0).encode())[:16]
    table = ContentTable(folder / "contents" / f"{split.name}-{where}.json")
    contents = video_contents(source, root, table, workers)
    table.save()
    return {"split": split.name, "ids": list(split.ids), "contents": contents}
