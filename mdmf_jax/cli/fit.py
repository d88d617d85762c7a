"""`mdmf fit`: learn classes from a few labelled videos."""

import argparse
import time
from collections.abc import Sequence

from mdmf_jax.cli.models import add_strict, on_error, print_skipped, shown
from mdmf_jax.cli.numbers import share
from mdmf_jax.errors import ConfigError

SUMMARY = "Learn classes from a few labelled videos: a folder with a folder for each class."
DETAILS = """\
example; without an encoder, that of motion which comes with the package sees what moves:

  mdmf fit --support=videos --out=model

with the small CLIP of the demo (demo writes the videos):

  mdmf demo --out=demo
  mdmf fit --support=demo/support --out=demo/model --encoder=packaged:demo

and, far better, with a run of mdmf train --config=demo --workdir=runs/demo:

  mdmf fit --support=demo/support --out=demo/model --checkpoint=runs/demo

A video is a file or a folder of images: SUPPORT/CLASS/VIDEO. Classes may have any number of
videos, from 1 on. The text that stands for a class is its folder's name in words, unless
--prompt says another. The command tells how many videos are recognised when they are left out,
and, in the report, which; where that is no more than chance, all answers of the model are
'unknown'. --out may be the folder of an older model, which is then replaced.
"""

MOTION = "motion"
_BY_DEFAULT = (
    "no encoder given: the encoder of motion that comes with the package, which sees what moves "
    "and not what stands there (--encoder=vit_b16 takes a CLIP; docs/motion.md)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--support", required=True, metavar="DIR", help="the labelled videos")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the model")
    parser.add_argument(
        "--checkpoint", metavar="RUN", help="a run of train (its best checkpoint) or one of it"
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="without --checkpoint, the encoder to use: motion (default; comes with the package), "
        "or a CLIP by a name such as vit_b16 or "
        "openai/clip-vit-base-patch16 (see mdmf weights list), its folder or its file; with it, "
        "where its CLIP lies if it has moved",
    )
    parser.add_argument(
        "--method",
        choices=("otam", "mean_pool", "zero_shot"),
        help="without --checkpoint: a method that needs no training (default: otam; for motion "
        "mean_pool)",
    )
    parser.add_argument(
        "--validation",
        metavar="DIR",
        help="more labelled videos, to set threshold and temperature; other classes in it "
        "tell how unknown videos score",
    )
    parser.add_argument(
        "--target",
        type=share,
        default=0.95,
        metavar="P",
        help="share of the videos of known classes to accept (default: 0.95)",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="CLASS=TEXT",
        help="text that stands for a class; may be given for each class",
    )
    parser.add_argument(
        "--groups",
        metavar="FILE",
        help="CSV file clip,group: a person or camera for each clip, not to be among the labelled "
        "videos and left out at once",
    )
    parser.add_argument("--report", metavar="FILE", help="HTML page to write, with all clips")
    add_strict(parser)


def run(options: argparse.Namespace) -> None:
    """Fits and saves.

    Raises:
      UserError: see `FewShotClassifier.fit`.
    """
    if not (options.checkpoint or options.encoder):
        options.encoder = MOTION
        print(_BY_DEFAULT)
    if options.checkpoint and options.method:
        raise ConfigError("--method is for a CLIP alone; a checkpoint has its own method")
    prompts = _prompts(options.prompt)

    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.training.checkpoint import locate
    from mdmf_jax.weights.names import read_name

    if options.checkpoint and read_name(options.checkpoint).kind == "hub":
        locate(options.checkpoint)  # raises: a run that is missing is not looked for at the hub
    begun = time.monotonic()
    classifier = FewShotClassifier.from_pretrained(
        options.checkpoint or options.encoder,
        options.method,
        options.encoder if options.checkpoint else None,
        target=options.target,
    )
    classifier.fit(
        options.support, prompts=prompts, groups=options.groups, on_error=on_error(options)
    )
    print_skipped(classifier)
    if options.validation:
        classifier.calibrate(options.validation, on_error=on_error(options))
        print_skipped(classifier)
    classifier.save(options.out)
    if options.report:
        from mdmf_jax.report.fit_page import write_fit_page

        write_fit_page(options.report, classifier, tuple(classifier.notes_))
    _print(classifier, options, time.monotonic() - begun)


def _print(classifier, options: argparse.Namespace, seconds: float) -> None:
    from rich.console import Console

    c = classifier.calibration_
    counts = dict(zip(classifier.classes_, classifier.counts_, strict=True))
    lines = [f"{shown(name)}: {count} videos" for name, count in counts.items()]
    lines += map(shown, classifier.verdict_.lines())
    lines += [f"warning: {shown(line)}" for line in classifier.warnings_]
    source = f"{c.known} known and {c.foreign} foreign videos, {c.origin.replace('_', ' ')}"
    temperature = f"{c.temperature:.3f}" if c.temperature else "none (no information)"
    lines.append(f"threshold {c.threshold:.3f}, temperature {temperature} ({source})")
    lines.append(f"model: {shown(options.out)}, {seconds:.0f} s")
    Console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _prompts(items: Sequence[str]) -> dict[str, str]:
    prompts = {}
    for item in items:
        name, _, text = item.partition("=")
        if not name or not text.strip():
            raise ConfigError(f"--prompt is {item!r}; write --prompt='CLASS=its text'")
        prompts[name] = text.strip()
    return prompts
