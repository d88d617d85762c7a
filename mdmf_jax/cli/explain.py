"""`mdmf explain`: why a video got its label, as a picture."""

import argparse
from pathlib import Path

from mdmf_jax.cli.models import add_model, print_skipped, print_verdict
from mdmf_jax.errors import DataError

SUMMARY = "Draw why a video got its label: alignment with the nearest class, posteriors, prompt."
DETAILS = """\
example (fit --help says where the model comes from):

  mdmf explain --model=demo/model demo/test/* --out=demo/explained

VIDEO is a file, a folder of images, or a folder of videos. The folder of --out gets a picture of
each as NAME.png and NAME.svg. Its panels show how similar the frames of the video (rows) are to
those of the nearest class (columns), and where the alignment passes; below are the posteriors of
the classes, and the prompt that the video was given, for methods that choose one.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="what to explain")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")


def run(options: argparse.Namespace) -> None:
    """Draws the pictures.

    Raises:
      UserError: the model is missing or damaged, no video can be used, or nothing can be written.
    """
    from mdmf_jax.classifier.bundle import NAME
    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.classifier.clips import BadVideo
    from mdmf_jax.classifier.folders import expand
    from mdmf_jax.classifier.settings import settings_from_dict
    from mdmf_jax.files import read_json

    videos, skipped = expand(options.videos)
    if skipped and options.strict:
        raise DataError(skipped[0].reason)
    classifier = FewShotClassifier.load(options.model)
    print_verdict(classifier)
    head = settings_from_dict(read_json(Path(options.model) / NAME)["settings"]).model.head
    names, done = picture_names(videos), 0
    for video, name in zip(videos, names, strict=True):
        try:
            told = classifier.explain(video)
        except DataError as error:
            if options.strict:
                raise
            skipped.append(BadVideo(str(video), str(error)))
            continue
        _draw(told, head, video, [Path(options.out) / f"{name}.{kind}" for kind in ("png", "svg")])
        done += 1
    classifier.skipped_ = skipped
    print_skipped(classifier)
    if not done:
        raise DataError("none of the videos can be used; see the lines above")


def picture_names(videos: list) -> list[str]:
    """A name for the pictures of each video, all different: its own, or with its folder's."""
    paths = [Path(video) for video in videos]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.absolute().parent.name}-{path.stem}" for path in paths]
    while len(set(names)) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names, 1)]
    return names


def _draw(told, head, video, files: list[Path]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from mdmf_jax.report.explain_picture import draw_explanation

    draw_explanation(told, head, Path(video).name, files)
    label = told["label"] if told["accepted"] else "unknown"
    line = f"{video}: {label} (nearest {told['label']}); {files[0]}, {files[1].name}"
    Console().print(escape(line), highlight=False, soft_wrap=True)
