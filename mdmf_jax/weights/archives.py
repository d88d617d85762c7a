"""OpenAI's own archives of CLIP, fetched from where OpenAI publishes them.

Names, files and SHA-256 are those of `_MODELS` in clip/clip.py of github.com/openai/CLIP, where
the SHA-256 is part of the address. Sizes are those that the server states. OpenAI's licence is MIT.
"""

import os
from pathlib import Path
from typing import NamedTuple

from mdmf_jax import files
from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.weights.download import Say, fetch_file, is_offline, megabytes, part_of, to_stderr

ADDRESS = "https://openaipublic.azureedge.net/clip/models"
VARIABLE = "MDMF_OPENAI_WEIGHTS"  # another place of the same files: BASE/SHA256/FILE
LICENCE = "MIT"


class Archive(NamedTuple):
    """A published archive.

    Attributes:
      title: OpenAI's name of the model.
      size: bytes.
    """

    title: str
    file: str
    sha256: str
    size: int


ARCHIVES: dict[str, Archive] = {
    "vit_b32": Archive(
        "ViT-B/32",
        "ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        353976522,
    ),
    "vit_b16": Archive(
        "ViT-B/16",
        "ViT-B-16.pt",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        350837078,
    ),
    "vit_l14": Archive(
        "ViT-L/14",
        "ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        932768134,
    ),
    "vit_l14_336": Archive(
        "ViT-L/14@336px",
        "ViT-L-14-336px.pt",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        934088680,
    ),
    "rn50": Archive(
        "RN50",
        "RN50.pt",
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        255827503,
    ),
    "rn101": Archive(
        "RN101",
        "RN101.pt",
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
        291791292,
    ),
    "rn50x4": Archive(
        "RN50x4",
        "RN50x4.pt",
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
        421854225,
    ),
    "rn50x16": Archive(
        "RN50x16",
        "RN50x16.pt",
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
        661125706,
    ),
    "rn50x64": Archive(
        "RN50x64",
        "RN50x64.pt",
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
        1353500174,
    ),
}


def archive_name(text: str) -> str | None:
    """The name here of an archive that is called so here or by OpenAI; None for others."""
    same = text.lower()
    titles = {archive.title.lower(): name for name, archive in ARCHIVES.items()}
    return same if same in ARCHIVES else titles.get(same)


def place_of(name: str) -> Path:
    """Where an archive is kept, whether it is there or not."""
    return files.cache_folder() / "openai" / ARCHIVES[name].file


def cached(name: str) -> Path | None:
    """The archive's file, if it is here in full."""
    place = place_of(name)
    whole = place.is_file() and place.stat().st_size == ARCHIVES[name].size
    return place if whole else None


def begun(name: str) -> int:
    """Bytes of an archive that a download brought before it ended."""
    part = part_of(place_of(name))
    return part.stat().st_size if part.is_file() else 0


def pinned(name: str, revision: str = "") -> str:
    """The name with the archive's SHA-256.

    Raises:
      ConfigError: the revision is another one.
    """
    sha256 = ARCHIVES[name].sha256
    if revision not in ("", sha256):
        raise ConfigError(
            f"{name}@{revision}: the archive that this program knows is {name}@{sha256}"
        )
    return f"{name}@{sha256}"


def fetch(name: str, say: Say = to_stderr) -> Path:
    """The archive's file; downloaded if it is not here, or goes on where that stopped.

    Raises:
      WeightsError: it cannot be reached, or is not the published file.
    """
    if found := cached(name):
        return found
    archive, place = ARCHIVES[name], place_of(name)
    base = os.environ.get(VARIABLE) or ADDRESS
    address = f"{base.rstrip('/')}/{archive.sha256}/{archive.file}"
    advice = (
        f"bring {archive.file} ({archive.size} bytes, SHA-256 {archive.sha256}) from a machine "
        f"with a network: put it at {place}, or give its path as --encoder=FILE "
        "(--config.encoder.path=FILE)"
    )
    if is_offline():
        raise WeightsError(f"{name}: not here, and HF_HUB_OFFLINE forbids to fetch it; {advice}")
    say(
        f"fetching {name}: OpenAI's CLIP {archive.title}, licence {LICENCE}, "
        f"{megabytes(archive.size)}, from {address} to {place}"
    )
    fetch_file(address, place, sha256=archive.sha256, size=archive.size, advice=advice)
    return place


def is_sound(name: str) -> bool:
    """Whether the archive's file that is here has the published content."""
    return files.sha256_of(place_of(name), WeightsError) == ARCHIVES[name].sha256
