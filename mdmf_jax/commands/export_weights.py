"""`python -m mdmf_jax export`: a checkpoint's parameters under the published names."""

import argparse

from mdmf_jax.errors import ConfigError

SUMMARY = "Write a checkpoint's parameters as the published code names them (safetensors)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a run's folder (its best checkpoint) or one in it"
    )
    parser.add_argument("file", metavar="OUT.safetensors", help="file to write")
    parser.add_argument("--clip", help="folder of the CLIP, if it has moved")


def run(options: argparse.Namespace) -> None:
    """Reads the checkpoint and writes its state dictionary.

    Raises:
        UserError: the checkpoint or its CLIP is missing or damaged, or OUT cannot be written.
    """
    if not options.file.endswith(".safetensors"):
        raise ConfigError(f"{options.file}: the name must end in .safetensors")

    import numpy as np
    from safetensors.numpy import save_file

    from mdmf_jax.commands.folders import new_file
    from mdmf_jax.published_checkpoint import read_checkpoint
    from mdmf_jax.weights.published import PUBLISHED

    config, params = read_checkpoint(options.checkpoint, options.clip)
    published = PUBLISHED[config.method]
    tensors = {n: np.asarray(x, order="C") for n, x in published.state_dict(params).items()}
    with new_file(options.file) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    print(f"wrote {options.file}: {published.title}, {len(tensors)} tensors")
