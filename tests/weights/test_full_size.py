"""A published checkpoint in its real size: import, export and import again."""

import os
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from published_names import random_tensors, shapes
from safetensors.numpy import load_file
from torch_writer import write_state_dict

from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.runs.published_checkpoint import read_checkpoint
from mdmf_jax.weights.huggingface import save_clip, template

SECONDS, BYTES = 60, 4e9


@pytest.fixture
def command(repository):
    """Runs a command as a program of its own, within limits of time and memory."""

    def run(*argv) -> None:
        start = time.monotonic()
        arguments = [sys.executable, "-m", "mdmf_jax", *map(str, argv)]
        process = subprocess.Popen(arguments, cwd=repository)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert time.monotonic() - start < SECONDS
        assert usage.ru_maxrss * 1024 < BYTES

    return run


@pytest.fixture
def clip_folder(tmp_path):
    """A CLIP with the image tower of ViT-B/16; the text tower does not matter here."""
    published = published_config("vit_b16")
    config = CLIPConfig(published.vision, TextConfig(64, 64, 1, 1), published.projection_dim)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), template(config))
    save_clip(tmp_path / "clip", config, zeros, Tokenizer.openai(), np.float16)
    return tmp_path / "clip"


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["backbone.", "backbone.module."])
def test_import_export_import(command, clip_folder, tmp_path, prefix):
    tensors = random_tensors(shapes("mdmf_vitb16"))
    assert len(tensors) == 219
    for name in tensors:  # the published code registers these twice
        if name.startswith("tcn."):
            original = name.replace(".net.0.", ".conv1.").replace(".net.4.", ".conv2.")
            tensors[name] = tensors[original]
    parallel = {name.replace("backbone.", prefix): x for name, x in tensors.items()}
    path = write_state_dict(tmp_path / "checkpoint.pt", parallel, "model_state_dict")
    del parallel

    command("import", path, tmp_path / "first", "--encoder", clip_folder)
    command("export", tmp_path / "first", tmp_path / "out.safetensors")
    command("import", tmp_path / "out.safetensors", tmp_path / "second", "--encoder", clip_folder)

    exported = load_file(tmp_path / "out.safetensors")
    unused = {f"context_conv{n}.{leaf}" for n in (11, 22) for leaf in ("weight", "bias")}
    assert exported.keys() == tensors.keys() - unused
    for name, tensor in exported.items():
        np.testing.assert_array_equal(tensor, tensors[name])
    first, second = (read_checkpoint(tmp_path / run)[1] for run in ("first", "second"))
    jax.tree.map(np.testing.assert_array_equal, first, second)
