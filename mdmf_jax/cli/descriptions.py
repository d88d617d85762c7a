"""`mdmf descriptions`: banks of several texts for each class."""

import argparse

from mdmf_jax.data.protocols.protocol import SPLITS

SUMMARY = "Write an empty bank of class descriptions, or check a filled one."
DETAILS = """\
examples:

  mdmf descriptions template hmdb51_arn --out=hmdb51.json
  mdmf descriptions check hmdb51.json hmdb51_arn
  mdmf train --config=hmdb51 --config.texts.descriptions=hmdb51.json

A bank is JSON or YAML: {class: [texts]}, also below "train", "val" and "test". Case, spaces and
underscores in the names of the classes do not matter. NAME is a protocol, or demo.
"""
_DEMO = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "Write a bank with the classes of a protocol and empty texts."
    template = actions.add_parser("template", help=text, description=text)
    template.add_argument("protocol", metavar="NAME", help="name of the protocol, or demo")
    template.add_argument("--out", metavar="FILE", required=True, help="JSON file to write")
    template.add_argument("--texts", type=int, default=3, metavar="M", help="texts of a class")
    text = "Say whether a bank has texts for all classes of a protocol."
    check = actions.add_parser("check", help=text, description=text)
    check.add_argument("bank", metavar="FILE", help="the bank, or a folder of banks")
    check.add_argument("protocol", metavar="NAME", help="name of the protocol, or demo")


def run(options: argparse.Namespace) -> int:
    """Does the action; returns the exit code.

    Raises:
      UserError: the protocol is unknown, the file is in the way, or the bank lacks a class.
    """
    return _check(options) if options.action == "check" else _template(options)


def _template(options: argparse.Namespace) -> int:
    from mdmf_jax import files
    from mdmf_jax.data.descriptions import bank_text, empty_bank
    from mdmf_jax.errors import ConfigError, DataError

    classes = {
        split: [aliases[0] for aliases in own] for split, own in _classes(options.protocol).items()
    }
    if options.texts < 1:
        raise ConfigError(f"--texts is {options.texts}; it must be at least 1")
    if files.path(options.out).exists():
        raise DataError(f"{options.out} exists already; give another --out")
    files.write_whole(options.out, bank_text(empty_bank(classes, options.texts)), DataError)
    count = sum(map(len, classes.values()))
    print(f"wrote {options.out}: {count} classes with {options.texts} empty texts each; fill them")
    return 0


def _check(options: argparse.Namespace) -> int:
    from mdmf_jax.data.descriptions import read_bank

    bank = read_bank(options.bank)
    classes = [aliases for own in _classes(options.protocol).values() for aliases in own]
    counts = [len(texts) for texts in bank.texts_of(classes)]
    print(f"{options.bank}: {min(counts)} to {max(counts)} texts for each of {len(counts)} classes")
    if extra := bank.extra(classes):
        print(f"not in {options.protocol}: {', '.join(extra)}")
    return 0


def _classes(name: str) -> dict[str, list[tuple[str, ...]]]:
    """Names of the classes by split."""
    from mdmf_jax.data.demo.dataset import demo_classes
    from mdmf_jax.data.protocols import protocol as protocols

    if name == _DEMO:
        return {s: [(f"{a} then {b}",) for a, b in demo_classes(s)] for s in SPLITS}
    known = protocols.load(name)
    return {s: [(c.name, c.prompt, c.folder) for c in known.classes_of(s)] for s in SPLITS}
