"""`mdmf weights`: pretrained encoders by name: what there is, fetch it, verify it."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mdmf_jax.errors import ConfigError, UserError, WeightsError

if TYPE_CHECKING:
    from mdmf_jax.weights.names import EncoderName

SUMMARY = "Show, fetch and verify pretrained encoders by name."
DETAILS = """\
examples:

  mdmf weights list
  mdmf weights fetch vit_b16
  mdmf weights fetch openai/clip-vit-base-patch16
  mdmf weights fetch openai/clip-vit-base-patch16 --out=clip
  mdmf weights verify

A name is used as it is: --encoder=vit_b16, --config.encoder.path=vit_b16. What is not here is
then fetched by itself; --out makes a folder to carry to another machine. Any CLIP of the hub is
called by OWNER/NAME, or OWNER/NAME@REVISION for a commit, branch or tag; `fetch` asks again what a
branch stands for.

variables: MDMF_OPENAI_WEIGHTS (another address of OpenAI's archives), MDMF_CACHE (where they are
kept), HF_ENDPOINT (another address of the hub), HF_HUB_CACHE (where its models are kept),
HF_HUB_OFFLINE=1 (fetch nothing).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "The names, their sizes and licences, and what is here."
    actions.add_parser("list", help=text, description=text)
    text = "Download encoders, and check what came."
    fetch = actions.add_parser("fetch", help=text, description=text)
    fetch.add_argument("names", nargs="+", metavar="NAME")
    text = "folder to copy the files to, for one NAME; it must not exist yet"
    fetch.add_argument("--out", metavar="DIR", help=text)
    text = "Check the content of what is here (exit code 1 if some is damaged)."
    verify = actions.add_parser("verify", help=text, description=text)
    verify.add_argument("names", nargs="*", metavar="NAME", help="by default all that is here")


def run(options: argparse.Namespace) -> int:
    """Does the action; returns the exit code.

    Raises:
      UserError: a name is unknown, or a download fails.
    """
    if options.action == "list":
        _list()
        return 0
    if options.action == "verify":
        return _verify(options.names)
    if options.out and len(options.names) > 1:
        raise ConfigError("--out is for one NAME")
    for name in options.names:
        _fetch(name, options.out)
    return 0


def _list() -> None:
    from mdmf_jax.weights import archives, hub_cache
    from mdmf_jax.weights.download import megabytes
    from mdmf_jax.weights.pretrained import PACKAGED

    rows = [("name", "download", "licence", "here")]
    rows += [(name, "none", "Apache-2.0", "in the package") for name in PACKAGED]
    for name, archive in archives.ARCHIVES.items():
        some = archives.begun(name)
        here = str(archives.cached(name) or (f"{megabytes(some)} of it" if some else "no"))
        rows.append((name, megabytes(archive.size), archives.LICENCE, here))
    for name, found in hub_cache.all_cached():
        rows.append((f"{name}@{found.commit}", "none", "see its page", str(found.place)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        first = [text.ljust(width) for text, width in zip(row[:3], widths, strict=True)]
        print("  ".join([*first, row[3]]))
    print(
        "and every CLIP of the hub: OWNER/NAME or OWNER/NAME@REVISION, such as\n"
        "openai/clip-vit-base-patch16; sizes and licence are shown when it is fetched"
    )


def _fetch(text: str, out: str | None) -> None:
    from mdmf_jax import files
    from mdmf_jax.weights import archives, hub
    from mdmf_jax.weights.hub_cache import is_commit
    from mdmf_jax.weights.names import read_name

    if out:
        files.check_new(out, WeightsError)
    found = read_name(text)
    if found.kind == "hub":
        _mend(found)
        fetched = hub.fetch(found.name, found.revision, refresh=not is_commit(found.revision))
        place, name = fetched.place, f"{found.name}@{fetched.commit}"
    elif found.kind == "archive":
        name = archives.pinned(found.name, found.revision)
        _mend(found)
        place = archives.fetch(found.name)
    else:
        raise _not_known(found)
    if out:
        place = _copy(place, Path(out))
    print(f"{name}: {place}")


def _mend(name: "EncoderName") -> None:
    """Deletes what is here and damaged, so that it is fetched again."""
    from mdmf_jax.weights.hub_cache import remove

    for path in _damaged(name):
        print(f"{path} is damaged and is fetched again")
        path.unlink() if name.kind == "archive" else remove(path)


def _copy(place: Path, out: Path) -> Path:
    """The files themselves, without the cache's links, in a new folder."""
    from mdmf_jax import files
    from mdmf_jax.weights.hub_files import choose

    folder = place if place.is_dir() else place.parent
    chosen = choose([path.name for path in folder.iterdir()])
    names = chosen.names if chosen else (place.name,)
    with files.whole_folder(out, WeightsError) as temporary:
        for name in names:
            shutil.copyfile(folder / name, temporary / name)
    return out if chosen else out / place.name


def _verify(texts: list[str]) -> int:
    from mdmf_jax.weights.names import read_name

    names = [read_name(text) for text in texts] or list(_all_here())
    if not names:
        print("nothing is here; see mdmf weights list")
    damaged = 0
    for name in names:
        wrong = _damaged(name, must_be_here=True)
        damaged += bool(wrong)
        print(f"{name}: {'damaged: ' + ', '.join(map(str, wrong)) if wrong else 'as published'}")
    if damaged:
        print("call mdmf weights fetch NAME to have it again")
    return 1 if damaged else 0


def _all_here() -> "Iterator[EncoderName]":
    from mdmf_jax.weights import archives, hub_cache
    from mdmf_jax.weights.names import EncoderName

    for name in archives.ARCHIVES:
        if archives.cached(name):
            yield EncoderName("archive", name)
    for name, found in hub_cache.all_cached():
        yield EncoderName("hub", name, found.commit)


def _damaged(name: "EncoderName", must_be_here: bool = False) -> list[Path]:
    """Files of a name that are here and do not have the published content."""
    from mdmf_jax.weights import archives, hub_cache

    if name.kind == "archive":
        place = archives.place_of(name.name)
        if place.is_file():
            return [] if archives.is_sound(name.name) else [place]
    elif name.kind == "hub":
        if found := hub_cache.cached(name.name, name.revision):
            return hub_cache.unsound(found.place if found.place.is_dir() else found.place.parent)
    else:
        raise _not_known(name)
    if must_be_here:
        raise WeightsError(f"{name}: is not here; call mdmf weights fetch {name}")
    return []


def _not_known(name: "EncoderName") -> UserError:
    from mdmf_jax.weights.names import unknown
    from mdmf_jax.weights.pretrained import PACKAGED

    if name.name in PACKAGED or Path(name.name).exists():
        return WeightsError(f"{name}: lies here already; there is nothing to fetch or verify")
    return WeightsError(f"{name}: no such folder, and {unknown(name, PACKAGED)}")
