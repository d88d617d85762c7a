"""`mdmf export`: a model for use elsewhere, as parameters or as programs."""

import argparse

from mdmf_jax import files
from mdmf_jax.cli.task import add_moved_encoder
from mdmf_jax.errors import ConfigError, WeightsError

SUMMARY = "Write a model for use elsewhere: published parameter names, or programs of jax.export."
DETAILS = """\
examples (fit --help says where the models come from):

  mdmf export runs/demo weights.safetensors
  mdmf export --format=jax demo/model demo/exported

The first writes the parameters of a checkpoint as the published code names them. The second
writes a new folder that runs on CPUs, NVIDIA GPUs and TPUs with jax and numpy, without this
package: MODEL is a folder of the command fit (its classes go along), a run of train, one of
its checkpoints, or a CLIP. docs/guide/export.md says how to use it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="MODEL",
        help="a run's folder (its best checkpoint) or one in it; for jax also a fitted model",
    )
    parser.add_argument("file", metavar="OUT", help="file (.safetensors) or new folder to write")
    parser.add_argument(
        "--format",
        choices=("published", "jax"),
        default="published",
        help="published (default): a .safetensors file; jax: a folder of programs",
    )
    add_moved_encoder(parser)


def run(options: argparse.Namespace) -> None:
    """Reads the model and writes it.

    Raises:
      UserError: the model or its CLIP is missing or damaged, or OUT cannot be written.
    """
    if options.format == "jax":
        _write_programs(options)
    else:
        _write_parameters(options)


def _write_programs(options: argparse.Namespace) -> None:
    if options.file.endswith(".safetensors"):
        raise ConfigError(f"{options.file}: --format=jax writes a folder; give it another name")

    from mdmf_jax.export.writer import export_path

    classes = export_path(options.checkpoint, options.file, encoder=options.encoder)
    known = f"{len(classes)} classes" if classes else "no classes"
    print(f"wrote {options.file}: programs for cpu, cuda and tpu, {known}")


def _write_parameters(options: argparse.Namespace) -> None:
    if not options.file.endswith(".safetensors"):
        raise ConfigError(
            f"{options.file}: the name must end in .safetensors (--format=jax writes a folder)"
        )

    import numpy as np
    from safetensors.numpy import save_file

    from mdmf_jax.runs.published_checkpoint import read_checkpoint

    _, params, published = read_checkpoint(options.checkpoint, options.encoder)
    tensors = {n: np.asarray(x, order="C") for n, x in published.state_dict(params).items()}
    with files.whole_file(options.file, WeightsError) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    print(f"wrote {options.file}: {published.title}, {len(tensors)} tensors")
