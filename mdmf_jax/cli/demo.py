"""`mdmf demo`: folders of videos to try the other commands on."""

import argparse

SUMMARY = "Write small folders of labelled videos, to try fit, predict, search and evaluate on."
DETAILS = """\
example:

  mdmf demo --out=demo
  mdmf fit --support=demo/support --out=demo/model --encoder=packaged:demo
  mdmf evaluate --model=demo/model --videos=demo/test

demo/support holds 3 videos of each of 5 classes, demo/test 10 others of these and of 3 more
classes, demo/long a video of a minute, and demo/long.csv what that shows when. The classes are
test classes: a run of mdmf train --config=demo has not seen them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder to write to")


def run(options: argparse.Namespace) -> None:
    """Writes.

    Raises:
      DataError: the folder exists and is not empty, or cannot be written.
    """
    from mdmf_jax.classifier.demo_folders import write_demo_folders

    out = write_demo_folders(options.out)
    print(f"wrote {out}/support, {out}/test and {out}/long")
