"""`mdmf import`: weights of other programs into folders that this one reads."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mdmf_jax import files
from mdmf_jax.cli.numbers import whole
from mdmf_jax.cli.settings import add_config
from mdmf_jax.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from mdmf_jax.weights.huggingface import LoadedCLIP
    from mdmf_jax.weights.sources import Source

Writer = Callable[[Path], None]
DEFAULTS = "common"  # the packaged config of all defaults

SUMMARY = "Convert a CLIP, or a published checkpoint of a few-shot method."
DETAILS = """\
examples:

  mdmf import ViT-B-16.pt weights/clip-vit-b16
  mdmf import published.pt runs/published --encoder=weights/clip-vit-b16

A CLIP becomes a folder for --config.encoder.path. A checkpoint of a few-shot method becomes a run's
folder at step 0, for eval --checkpoint and train --workdir. Its settings are those of the config.
CLIP-MDMF, CLIP-FSAR, TS-FSAR, D2ST-Adapter, Task-Adapter++, CLIP-SPM and EMP-Net are recognised
by their tensors; what shapes do not tell is set as in training, such as
--config.encoder.temporal_blocks. To fine-tune it, give here the settings that train will be given
(--config.train.freeze='("^encoder/",)').
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="file or folder to read")
    parser.add_argument("folder", metavar="DIR", help="folder to write; it must not exist yet")
    parser.add_argument(
        "--encoder",
        metavar="DIR",
        help="for a checkpoint: folder of the CLIP that it was trained from",
    )
    parser.add_argument(
        "--variant",
        choices=("reference", "corrected"),
        help="for a checkpoint: by default reference, or as --config says",
    )
    add_config(parser, "for a checkpoint: config, as for the command train")
    parser.add_argument(
        "--image-size",
        type=whole(1),
        metavar="N",
        help="for a CLIP: side of its images in pixels, if it is to change; the positions of "
        "patches are interpolated",
    )
    parser.add_argument(
        "--activation",
        choices=("quick_gelu", "gelu"),
        help="for a CLIP whose files do not say it: OpenAI's is quick_gelu",
    )


def run(options: argparse.Namespace) -> None:
    """Reads, says what it recognised, and writes.

    Raises:
      UserError: SOURCE is damaged, unknown or does not fit the CLIP; DIR exists already.
    """
    from mdmf_jax.weights.sources import open_source

    files.check_new(options.folder, WeightsError)
    source = open_source(options.source, options.activation)
    print(f"{options.source}: {source.title}", flush=True)
    if source.clip:
        write, advice = _clip(source.clip, options)
    else:
        write, advice = _checkpoint(source, options)
    with files.whole_folder(options.folder, WeightsError) as folder:
        write(folder)
    print(f"wrote {options.folder}; {advice}")


def _clip(clip: "LoadedCLIP", options: argparse.Namespace) -> tuple[Writer, str]:
    from mdmf_jax.models.encoders.clip.positions import interpolate_positions
    from mdmf_jax.weights.huggingface import save_clip

    given = [f"--{name}" for name in ("encoder", "variant", "config") if getattr(options, name)]
    for argument in [*given, *options.settings]:
        raise ConfigError(f"{argument} is for checkpoints of a method, but SOURCE is a CLIP")
    advice = f"use it with --config.encoder.path={options.folder}"
    config, params, tokenizer = clip
    if options.image_size:
        params, config = interpolate_positions(params, config, options.image_size)
    return lambda folder: save_clip(folder, config, params, tokenizer), advice


def _checkpoint(source: "Source", options: argparse.Namespace) -> tuple[Writer, str]:
    from mdmf_jax.config.load import load_config
    from mdmf_jax.runs import published_checkpoint as checkpoint
    from mdmf_jax.training.build import make_model, pinned_config
    from mdmf_jax.weights.published import PUBLISHED, check_image_tower

    if options.image_size:
        raise ConfigError("--image-size is for a CLIP, but SOURCE is a checkpoint of a method")
    assert source.method is not None  # what is no CLIP is a checkpoint of a method
    origin, published = options.source, PUBLISHED[source.method]
    config = pinned_config(load_config(options.config or DEFAULTS, _settings(source, options)))
    pretrained = checkpoint.read_encoder(config)
    sizes = pretrained.config
    if published.backbone:
        check_image_tower(source.tensors, sizes, origin=origin, clip_path=config.encoder.path)
    sized = ("--config.data.crop=", "--config.data.resize=")
    if not options.config and not any(text.startswith(sized) for text in options.settings):
        config = checkpoint.fit_frames(config, sizes)
    make_model(config, 1, pretrained)  # which says first what does not fit the encoder
    params = published.load(source.tensors, sizes, config.encoder, config.head, origin=origin)
    classes = checkpoint.train_classes(params)
    params = checkpoint.own_params(params, make_model(config, classes, pretrained), origin)
    advice = f"test it with mdmf eval --checkpoint={options.folder} --data=VIDEOS"
    return lambda folder: checkpoint.write_checkpoint(folder, config, params, classes), advice


def _settings(source: "Source", options: argparse.Namespace) -> list[str]:
    """The settings that describe the checkpoint."""
    from mdmf_jax.models.methods.registry import METHODS
    from mdmf_jax.weights.published import PUBLISHED

    published = PUBLISHED[source.method or ""]
    if published.method not in METHODS:
        raise ConfigError(
            f"{options.source}: this version has no method {published.method} that would use it"
        )
    variant = options.variant or (None if options.config else "reference")
    known = {"method": published.method, "encoder.name": published.encoder, "variant": variant}
    known |= {"encoder.path": options.encoder} | published.settings(source.tensors)
    # The encoder comes first, since it decides which settings there are; the user's are last.
    return [
        *(f"--config.{name}={value}" for name, value in known.items() if value is not None),
        *options.settings,
    ]
