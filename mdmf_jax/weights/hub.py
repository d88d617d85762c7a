"""CLIPs of the Hugging Face hub by name: a revision pinned, the known files fetched and checked.

They lie in the hub's own cache, so that what transformers has fetched is found, and the reverse.
A branch or tag is asked for once; from then on the cache answers, until `mdmf weights fetch`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdmf_jax import files
from mdmf_jax.errors import WeightsError
from mdmf_jax.web import plain
from mdmf_jax.weights import download
from mdmf_jax.weights.download import ATTEMPTS, Say, is_offline, megabytes, to_stderr
from mdmf_jax.weights.hub_cache import (
    DEFAULT,
    Fetched,
    cache_folder,
    cached,
    is_commit,
    is_content,
    kind_of,
    model_folder,
    remove,
)
from mdmf_jax.weights.hub_errors import bring, endpoint, is_of_network, one_line
from mdmf_jax.weights.hub_files import CONFIG, Chosen, choose

MOST_BYTES = 20 * 10**9  # of one CLIP; the largest that is known has 10
_MOST_TEXT = 50 * 10**6  # of a config or vocabulary
_TIMEOUT = 30.0  # seconds without an answer


def fetch(name: str, revision: str = "", say: Say = to_stderr, *, refresh: bool = False) -> Fetched:
    """The CLIP in the cache; downloaded if it is not there, or goes on where that stopped.

    Args:
      revision: commit, branch or tag; "" for the default branch.
      refresh: ask what the revision stands for today, also where the cache has an answer.

    Raises:
      WeightsError: the hub cannot be reached or has no such model or revision; or the model is
        not a CLIP, is too large, or is not what the hub said.
    """
    if not refresh and (found := cached(name, revision)):
        return found
    if is_offline():
        raise WeightsError(
            f"{name}: not here, and HF_HUB_OFFLINE forbids to fetch it; {bring(name)}"
        )
    info = _ask(name, revision)
    listed = {item.rfilename: item for item in info.siblings or []}
    chosen, commit = choose(listed), info.sha
    if chosen is None:
        raise WeightsError(_not_a_clip(name, listed))
    total = _check_sizes(name, {file: listed[file].size for file in chosen.names})
    say(
        f"fetching {name} at {commit}: licence {_licence(info)}, {len(chosen.names)} files, "
        f"{megabytes(total)}, from {endpoint()} to {model_folder(name)}"
    )
    with files.one_line(model_folder(name), "written", WeightsError):
        _download(name, commit, chosen, listed)
    if commit != (revision or DEFAULT):
        files.write_whole(model_folder(name) / "refs" / (revision or DEFAULT), commit, WeightsError)
    return Fetched(model_folder(name) / "snapshots" / commit / chosen.entry, commit)


def _ask(name: str, revision: str) -> Any:
    """What the hub says of a model: its commit, files with sizes and hashes, tags."""
    with one_line(name, revision):
        from huggingface_hub import HfApi

        info = HfApi(endpoint=endpoint()).model_info(
            name, revision=revision or None, files_metadata=True, timeout=_TIMEOUT
        )
    if not is_commit(str(info.sha)):
        raise WeightsError(f"{name}: {endpoint()} names no commit but {info.sha!r:.60}")
    if is_commit(revision) and info.sha != revision:
        raise WeightsError(f"{name}: {endpoint()} answers with {info.sha} instead of {revision}")
    return info


def _download(name: str, commit: str, chosen: Chosen, listed: Mapping[str, Any]) -> None:
    """Fetches and checks one file after the other; the config, which comes first, is looked at."""
    for file in chosen.names:
        with one_line(name, commit):
            path = _file(name, commit, file)
        item = listed[file]
        expected = item.lfs.sha256 if item.lfs else item.blob_id
        if not is_content(path, str(expected)):
            remove(path)
            raise WeightsError(
                f"{name}: {file} is not what the hub says it is ({expected}) and was deleted; "
                "try again"
            )
        if file == chosen.config == CONFIG:
            _check_kind(name, path)


def _file(name: str, commit: str, file: str) -> Path:
    """A file in the cache, fetched in several attempts if the connection breaks."""
    from huggingface_hub import errors, hf_hub_download

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Path(
                hf_hub_download(
                    name,
                    file,
                    revision=commit,
                    endpoint=endpoint(),
                    cache_dir=cache_folder(),
                    etag_timeout=_TIMEOUT,
                )
            )
        except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError):
            raise
        except Exception as problem:  # what a break is called depends on the library below
            if attempt == ATTEMPTS or not is_of_network(problem):
                raise
            time.sleep(download.PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _check_kind(name: str, path: Path) -> None:
    if (kind := kind_of(path)) != "clip":
        raise WeightsError(f"{name}: is a model of the kind {kind!r}, not a CLIP; give a CLIP")


def _check_sizes(name: str, sizes: Mapping[str, int | None]) -> int:
    """All bytes together."""
    for file, size in sizes.items():
        most = _MOST_TEXT if file.endswith((".json", ".txt")) else MOST_BYTES
        if size is None or size > most:
            raise WeightsError(
                f"{name}: {file} has {size if size is not None else 'an unknown number of'} "
                f"bytes, at most {most} are fetched"
            )
    total = sum(size or 0 for size in sizes.values())
    if total > MOST_BYTES:
        raise WeightsError(f"{name}: has {total} bytes, at most {MOST_BYTES} are fetched")
    return total


def _not_a_clip(name: str, listed: Mapping[str, Any]) -> str:
    some = ", ".join(sorted(listed)[:8]) or "none"
    return (
        f"{name}: does not hold the files of a CLIP (config.json with model.safetensors or "
        "pytorch_model.bin and a vocabulary, or open_clip_config.json with "
        f"open_clip_model.safetensors); it has {some}"
    )


def _licence(info: Any) -> str:
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return plain(tags[0]) if tags else f"not stated (see {endpoint()}/{info.id})"
