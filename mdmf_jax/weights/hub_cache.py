"""CLIPs in the hub's own cache: where they lie, whether they are whole, and what they are.

A model's folder there holds refs/BRANCH (the commit that it stood for), snapshots/COMMIT/FILE and
blobs/, where a content lies under its SHA-256, or under its SHA-1 as Git counts it; the files of a
snapshot are links to these.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdmf_jax import files
from mdmf_jax.errors import WeightsError
from mdmf_jax.weights.hub_files import CONFIG, choose

DEFAULT = "main"  # the branch that is meant where none is named
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Fetched(NamedTuple):
    """A CLIP in the cache: its folder, or the file that stands for it, and its commit."""

    place: Path
    commit: str


def cache_folder() -> Path:
    """The hub's cache: $HF_HUB_CACHE, or hub in $HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def model_folder(name: str) -> Path:
    """Where the cache keeps a model."""
    return cache_folder() / f"models--{name.replace('/', '--')}"


def cached(name: str, revision: str = "") -> Fetched | None:
    """The CLIP, if the cache holds all of it; asks nobody."""
    folder = model_folder(name)
    commit = cached_commit(folder, revision or DEFAULT)
    place = cached_clip(folder, commit) if commit else None
    return Fetched(place, commit) if place and commit else None


def all_cached() -> Iterator[tuple[str, Fetched]]:
    """Name and place of every CLIP of the cache, each of its commits."""
    for folder in sorted(cache_folder().glob("models--*--*")):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        for snapshot in sorted(folder.glob("snapshots/*")):
            place = cached_clip(folder, snapshot.name)
            if place and _is_clip(place):
                yield name, Fetched(place, snapshot.name)


def is_commit(revision: str) -> bool:
    """Whether it is a whole commit and not a branch or tag."""
    return bool(_COMMIT.fullmatch(revision))


def cached_commit(folder: Path, revision: str) -> str | None:
    """The commit that a branch, tag or commit stands for in a cache; None if it holds none.

    Args:
      folder: of one model in the hub's cache, with refs/ and snapshots/.
    """
    if is_commit(revision):
        return revision
    ref = folder / "refs" / revision
    if not ref.is_file():
        return None
    commit = files.read_whole(ref, WeightsError)[:41].decode("ascii", "replace").strip()
    return commit if is_commit(commit) else None


def cached_clip(folder: Path, commit: str) -> Path | None:
    """The folder or file of a CLIP in a cache, if all its files are there."""
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    found = choose([path.name for path in snapshot.iterdir() if path.is_file()])
    return snapshot / found.entry if found else None


def unsound(snapshot: Path) -> list[Path]:
    """The files whose content is not what their name in blobs/ says.

    Files that are not links, in caches of systems without them, cannot be told.
    """
    return [
        path
        for path in sorted(snapshot.iterdir())
        if path.is_symlink() and not is_content(path, path.resolve().name)
    ]


def is_content(path: Path, expected: str) -> bool:
    """Whether a file has this SHA-256 (64 digits), or SHA-1 as Git counts it (40 digits)."""
    if not path.is_file():
        return False
    if len(expected) == 64:
        return files.sha256_of(path, WeightsError) == expected
    return files.git_sha1_of(path, WeightsError) == expected


def remove(path: Path) -> None:
    """Deletes a file of a snapshot, and its content if that lies in the cache as well."""
    content, blobs = path.resolve(), path.parents[2].resolve() / "blobs"
    if content.parent == blobs:
        content.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _is_clip(place: Path) -> bool:
    try:
        return place.is_file() or kind_of(place / CONFIG) == "clip"
    except WeightsError:  # damaged, or of another program
        return False


def kind_of(config: Path) -> str:
    """The kind of model that a config.json describes, such as "clip".

    Raises:
      WeightsError: it cannot be read.
    """
    return str(files.read_json(config, WeightsError).get("model_type", "clip"))
