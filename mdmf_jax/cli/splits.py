"""`mdmf splits`: the classes and videos of the few-shot protocols."""

import argparse
from operator import ne
from typing import TYPE_CHECKING

from mdmf_jax.cli.task import add_split
from mdmf_jax.data.protocols.protocol import SPLITS

if TYPE_CHECKING:
    from rich.console import Console

    from mdmf_jax.data.protocols.protocol import Protocol

SUMMARY = "Show the few-shot protocols; check, convert and download their list files."
DETAILS = """\
examples:

  mdmf splits list
  mdmf splits show hmdb51_arn --split test
  mdmf splits fetch kinetics_cmn --out lists/kinetics
  mdmf splits verify kinetics_cmn lists/kinetics/*.txt --videos /data/kinetics
  mdmf splits import ssv2_cmn test_few_shot.txt --out lists/ssv2_small
  mdmf splits draw /data/own --seed 0 --out lists/own
"""
PIPE_WIDTH = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, text: str, protocol: bool = True, files: bool = False):
        action = actions.add_parser(name, help=text, description=text)
        if protocol:
            action.add_argument("protocol", metavar="NAME", help="name of the protocol")
        if files:
            action.add_argument("files", metavar="FILE", nargs="+", help="list file")
            add_split(action, "split that FILE is for")
        return action

    add("list", "The protocols and their numbers of classes and videos.", protocol=False)
    show = add("show", "Classes, prompts and known list files of a protocol.")
    add_split(show, "only this split")
    verify = add("verify", "Say what list files are and what differs (exit code 1).", files=True)
    verify.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="LIST",
        help="list files to compare with, video by video",
    )
    verify.add_argument("--videos", metavar="DIR", help="say which listed videos DIR lacks")
    verify.add_argument("--all", action="store_true", help="show also the classes that agree")
    convert = add("import", "Write list files of any format in one format.", files=True)
    fetch = add("fetch", "Download the list files from their public address.")
    fetch.add_argument("--address", help="address of a copy of the repository's files")
    draw = add("draw", "Divide the classes of one's own data set at random.", protocol=False)
    draw.add_argument("root", metavar="VIDEOS", help="folder with a folder for each class")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--shares", default="0.6,0.2,0.2", help="of train, val and test")
    draw.add_argument("--frames", action="store_true", help="videos are folders of images")
    for action in (convert, fetch, draw):
        action.add_argument("--out", metavar="DIR", required=True, help="folder for the lists")
    for action in (convert, fetch):
        action.add_argument(
            "--folders",
            choices=("official", "words"),
            default="official",
            help="classes as the protocol's folder names, or in words",
        )


def run(options: argparse.Namespace) -> int:
    """Does the action; returns the exit code.

    Raises:
      UserError: the protocol is unknown, or a file is broken, missing or in the way.
    """
    from mdmf_jax.cli import splits_verify, splits_write
    from mdmf_jax.data.protocols import protocol as protocols

    if options.action == "list":
        _list([protocols.load(name) for name in protocols.names()])
        return 0
    if options.action == "draw":
        splits_write.draw(options)
        return 0
    protocol = protocols.load(options.protocol)
    actions = {
        "show": _show,
        "verify": splits_verify.run,
        "import": splits_write.convert,
        "fetch": splits_write.fetch,
    }
    return actions[options.action](protocol, options) or 0


def plain_console() -> "Console":
    """Prints text as it is. A file or pipe gets lines that are long enough for the tables."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _list(protocols: "list[Protocol]") -> None:
    from rich.table import Table

    table = Table("protocol", "data set", "classes", "videos", "defined by", box=None)
    for protocol in protocols:
        splits = [protocol.classes_of(split) for split in SPLITS]
        table.add_row(
            protocol.name,
            protocol.title,
            " + ".join(str(len(classes)) for classes in splits),
            " + ".join(str(sum(c.count for c in classes)) for classes in splits),
            protocol.defined_by,
        )
    plain_console().print(table)


def _show(protocol: "Protocol", options: argparse.Namespace) -> None:
    console = plain_console()
    for line in (
        f"{protocol.name}: {protocol.title}",
        f"paper: {protocol.paper}",
        f"lists: {protocol.address}",
        f"data set: {protocol.dataset}; defined by its {protocol.defined_by}",
        f"left and right matter: {'yes, clips are not flipped' if protocol.left_right else 'no'}",
        protocol.remark,
    ):
        console.print(line)
    for split in [options.split] if options.split else SPLITS:
        _show_split(console, protocol, split)


def _show_split(console: "Console", protocol: "Protocol", split: str) -> None:
    from rich.table import Table

    classes = protocol.classes_of(split)
    # The published code never reads the validation classes.
    published = _published_prompts(protocol, split) if split != "val" else _prompts(classes)
    wrong = sum(map(ne, published, _prompts(classes)))
    videos = sum(class_.count for class_ in classes)
    console.print(f"\n{split}: {len(classes)} classes, {videos} videos")
    labels = any(class_.label is not None for class_ in classes)
    columns = ["folder", "prompt", "published code's prompt" if wrong else None]
    columns += ["label" if labels else None, "videos"]
    table = Table(*[name for name in columns if name], box=None)
    for class_, prompt in zip(classes, published, strict=True):
        cells = [class_.folder, class_.prompt, prompt if wrong else None]
        cells += [str(class_.label) if labels else None, str(class_.count)]
        table.add_row(*[cell for cell in cells if cell is not None])
    console.print(table)
    if wrong:
        console.print(f"the published code gives {wrong} of {len(classes)} classes a wrong prompt")
    console.print("known list files:")
    for known in protocol.lists:
        if known.split == split:
            console.print(f"  {known.sha256[:12]} {known.file} of {known.origin}: {known.variant}")


def _published_prompts(protocol: "Protocol", split: str) -> tuple[str, ...]:
    from mdmf_jax.data.protocols.text_names import class_text_names

    classes = protocol.classes_of(split)
    return class_text_names(
        [class_.folder for class_ in classes],
        _prompts(classes),
        [class_.folder for class_ in protocol.classes],
        "reference",
    )


def _prompts(classes) -> tuple[str, ...]:
    return tuple(class_.prompt for class_ in classes)
