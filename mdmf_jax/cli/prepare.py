"""`mdmf prepare`: videos into shards of JPEG frames, which load much faster."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mdmf_jax.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from mdmf_jax.data.prepare.expected import Expected
    from mdmf_jax.data.prepare.run import Report

STOPPED = 130  # exit code after Ctrl-C, as of programs that the signal ends

SUMMARY = "Decode videos once, into a folder that loads several times faster."
DETAILS = """\
examples:
  mdmf prepare --videos hmdb51 --protocol hmdb51_arn --out hmdb51_prepared
  mdmf prepare --videos mine --protocol folders --out mine_prepared
  mdmf train --config=hmdb51 --config.data.root=hmdb51_prepared

Stop it at any time; the same command goes on where it was. DIR/failed.csv lists the videos that
were left out, with the reason.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("--videos", required=True, metavar="DIR", help="folder of video files or frame folders")
    add(
        "--protocol",
        required=True,
        metavar="NAME",
        help="see mdmf splits list; or folders: one's own classes",
    )
    add("--out", required=True, metavar="DIR", help="folder to write, or to go on with")
    add("--lists", default="", metavar="DIR", help="folder of list files, one for each split")
    add("--size", type=int, default=256, help="short side of the images, pixels (256)")
    add("--quality", type=int, default=95, help="quality of the JPEG files, 1 to 100 (95)")
    add("--workers", type=int, default=os.cpu_count(), help="worker processes (all cores)")
    add("--timeout", type=float, default=120.0, help="seconds that one file may take (120)")
    add("--memory-limit", type=int, default=4096, help="MB of a worker process; 0: none (4096)")
    add("--min-frames", type=int, default=2, help="videos with fewer frames are failures (2)")
    add("--max-frames", type=int, default=20_000, help="videos with more are failures (20000)")
    add("--max-failed", type=float, default=0.01, help="share of failures allowed (0.01)")
    add("--shard-videos", type=int, default=32, help="videos of one shard (32)")
    add(
        "--beam",
        nargs="?",
        const="--runner=DirectRunner",
        metavar="OPTIONS",
        help="run on Apache Beam, with these pipeline options (--beam='--runner=... ...')",
    )


def run(options: argparse.Namespace) -> int:
    """Prepares, shows a progress bar, then a table of the classes; returns the exit code.

    Raises:
      UserError: a setting, the videos or the output folder are at fault, or too many videos
        failed.
    """
    import shlex

    from rich.console import Console

    from mdmf_jax.data.prepare.decode import Images, Limits
    from mdmf_jax.data.prepare.expected import load_expected
    from mdmf_jax.data.prepare.run import prepare

    expected = load_expected(options.videos, options.protocol, options.lists)
    limits = Limits(options.timeout, options.memory_limit, options.min_frames, options.max_frames)
    try:
        with _ProgressBar() as progress:
            report = prepare(
                options.videos,
                expected.splits,
                options.out,
                protocol=expected.protocol,
                images=Images(options.size, options.quality),
                limits=limits,
                workers=options.workers,
                shard_videos=options.shard_videos,
                max_failed=options.max_failed,
                beam=None if options.beam is None else shlex.split(options.beam),
                progress=progress,
                phase=progress.phase,
            )
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    _show(Console(), report, expected, Path(options.out), options.max_failed)
    return 0


class _ProgressBar:
    """A bar with rate and time left on a terminal; otherwise one line at the end."""

    def __enter__(self) -> "_ProgressBar":
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed, {task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.__enter__()
        self._task = self._bar.add_task("starting", total=None, failed=0, rate="")
        return self

    def __call__(self, done: int, total: int, failed: int) -> None:
        speed = self._bar.tasks[0].speed
        rate = f"{speed:.1f} videos/s" if speed else ""
        self._bar.update(self._task, completed=done, total=total, failed=failed, rate=rate)

    def phase(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def __exit__(self, *error) -> None:
        self._bar.__exit__(*error)


def _show(
    console: "Console", report: "Report", expected: "Expected", out: Path, max_failed: float
) -> None:
    from rich.markup import escape

    from mdmf_jax.data.prepare.index import FAILED

    console.print(_table(report, expected))
    failed, total = len(report.failures), report.plan.num_videos
    share = f"{failed:,} of {total:,} videos failed ({report.share_failed:.1%})"
    if not report.complete:
        raise DataError(
            f"{share}, more than --max-failed={max_failed:g}; {out / FAILED} says why;"
            " repair or remove them, or allow more, and run the same command again"
        )
    say = partial(console.print, soft_wrap=True, highlight=False)
    if failed:
        say(escape(f"{share}; {out / FAILED} says why"))
    if expected.missing:
        say(
            escape(
                f"{len(expected.missing):,} listed videos are not in the folder"
                f" (first: {expected.missing[0]})"
            )
        )
    say(escape(f"prepared {out}; use it with --config.data.root={out}"))


def _table(report: "Report", expected: "Expected"):
    """Prepared and expected videos of each class; those that agree in one line a split."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("split", "class", "prepared", "expected", "failed")
    for split, good in zip(report.plan.splits, report.good, strict=True):
        wanted = expected.counts[split.name]
        same, planned = 0, dict(zip(split.folders, split.counts.tolist(), strict=True))
        found = dict(zip(split.folders, good, strict=True))
        for folder in sorted(wanted.keys() | found.keys(), key=list(wanted).index):
            have, want = found.get(folder, 0), wanted[folder]
            if have == want:
                same += 1
                continue
            failed = planned.get(folder, 0) - have
            table.add_row(split.name, escape(folder), f"{have:,}", f"{want:,}", f"{failed:,}")
        if same:
            classes = "1 class" if same == 1 else f"{same} classes"
            table.add_row(split.name, f"{classes} as expected", "", "", "")
        failed = int(split.counts.sum()) - sum(good)
        total = sum(wanted.values())
        table.add_row(
            split.name, "all", f"{sum(good):,}", f"{total:,}", f"{failed:,}", end_section=True
        )
    return table
