"""`splits import`, `splits fetch` and `splits draw`: list files in one format."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdmf_jax.data.protocols.lists import ParsedList
    from mdmf_jax.data.protocols.protocol import KnownList, Protocol


def convert(protocol: "Protocol", options: argparse.Namespace) -> None:
    """Writes DIR/{split}list.txt for each file.

    Raises:
      DataError: a file is malformed, has classes of another split or protocol, or two files
          are for one split; a list is in DIR already.
    """
    from mdmf_jax.data.protocols.lists import parse_list
    from mdmf_jax.data.protocols.verify import split_of
    from mdmf_jax.errors import DataError

    lists: dict[str, ParsedList] = {}
    for path in options.files:
        parsed = parse_list(path, protocol)
        split = split_of(parsed, protocol, options.split)
        if split in lists:
            first = lists[split].path
            raise DataError(f"{first} and {path} are both for {split}; give one of them")
        lists[split] = parsed
    _write(protocol, lists, options)


def fetch(protocol: "Protocol", options: argparse.Namespace) -> None:
    """Downloads the protocol's lists and writes DIR/{split}list.txt.

    Raises:
      DataError: a list cannot be downloaded or is not the known one; it is in DIR already.
    """
    from mdmf_jax.data.protocols.lists import parse_bytes

    _check_free(Path(options.out))
    lists = {}
    for known in _published(protocol):
        address = _address(known, options.address)
        print(f"{address}", flush=True)
        content = _download(address, known)
        lists[known.split] = parse_bytes(content, Path(known.file), protocol)
    _write(protocol, lists, options)


def draw(options: argparse.Namespace) -> None:
    """Writes the lists of a data set whose classes are divided at random.

    Raises:
      UserError: bad settings, too few classes, or a list is in DIR already.
    """
    from mdmf_jax.data.protocols.own_split import draw_split, write_lists
    from mdmf_jax.errors import ConfigError

    try:
        shares = [float(share) for share in options.shares.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--shares is {options.shares!r}; give three numbers such as 0.6,0.2,0.2"
        ) from error
    splits = draw_split(options.root, options.seed, shares, options.frames)
    paths = write_lists(splits, options.out)
    for path, classes in zip(paths, splits.values(), strict=True):
        videos = sum(map(len, classes.values()))
        print(f"wrote {path}: {len(classes)} classes, {videos} videos")


def _published(protocol: "Protocol") -> "list[KnownList]":
    """The standard list of each split in the repository that publishes the protocol."""
    lists = {}
    for known in protocol.lists:
        if known.origin == protocol.address and known.contents == "standard":
            lists.setdefault(known.split, known)
    return list(lists.values())


def _address(known: "KnownList", base: str | None) -> str:
    from urllib.parse import quote

    return f"{(base or known.raw_address).rstrip('/')}/{quote(known.file)}"


def _download(address: str, known: "KnownList") -> bytes:
    from mdmf_jax.data.protocols.download import download

    return download(address, known.bytes, known.sha256)


def _check_free(folder: Path) -> None:
    from mdmf_jax.data.protocols.protocol import SPLITS
    from mdmf_jax.errors import DataError

    for split in SPLITS:
        if (folder / f"{split}list.txt").exists():
            raise DataError(f"{folder / f'{split}list.txt'} exists already; give another --out")


def _write(
    protocol: "Protocol", lists: "dict[str, ParsedList]", options: argparse.Namespace
) -> None:
    """Checks all lists before it writes the first."""
    from mdmf_jax.data.protocols.lists import write_list

    folder = Path(options.out)
    lines = {
        split: _lines(protocol, split, parsed, options.folders) for split, parsed in lists.items()
    }
    _check_free(folder)
    for split, texts in lines.items():
        write_list(folder / f"{split}list.txt", texts)
        repeated = len(lists[split].entries) - len(texts)
        note = f", {repeated} repeated lines left out" if repeated else ""
        print(f"wrote {folder / f'{split}list.txt'}: {len(texts)} videos{note}")


def _lines(protocol: "Protocol", split: str, parsed: "ParsedList", folders: str) -> list[str]:
    from mdmf_jax.data.protocols.lists import require_classes
    from mdmf_jax.errors import DataError

    lines: dict[str, None] = {}
    for entry, class_ in zip(parsed.entries, require_classes(parsed, protocol), strict=True):
        if class_.split != split:
            raise DataError(
                f"{parsed.path}, line {entry.line}: class {class_.name!r} is for {class_.split},"
                f" not {split}; remove the line or set --split"
            )
        folder = class_.name if folders == "words" else class_.folder
        lines[f"{folder}/{entry.video}"] = None
    return list(lines)
