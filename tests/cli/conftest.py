"""Small published checkpoints for the tests of the commands."""

import re

import numpy as np
import pytest
from published_names import random_tensors, shapes  # noqa: E402

from mdmf_jax.cli import main as cli  # noqa: E402

# Sizes of the published ViT-B/16 model, and those of one for the tiny CLIP of the tests.
SMALL = {768: 16, 2304: 48, 3072: 32, 512: 16, 2048: 20, 197: 5, 16: 8}


# Likewise for RN50, and blocks that the small one does not have.
SMALL_RESNET = {32 * 2**i: 2**i for i in range(7)} | {1536: 48, 50: 2}
LATER_BLOCKS = re.compile(r"(layer\d|resblocks)\.[1-9]")


def small_tensors(model: str, sizes: dict[int, int]) -> dict[str, np.ndarray]:
    """A published model's tensors in small, with one block in each part of a tower."""
    small = {
        name: tuple(sizes.get(size, size) for size in shape)
        for name, shape in shapes(model).items()
        if not LATER_BLOCKS.search(name)
    }
    tensors = random_tensors(small)
    for name in small:
        if name.endswith("running_var"):
            tensors[name] = 1 + np.abs(tensors[name])
        # The published code registers these twice.
        original = name.replace(".net.0.", ".conv1.").replace(".net.4.", ".conv2.")
        tensors[name] = tensors[original] if name.startswith("tcn.") else tensors[name]
    return tensors


@pytest.fixture(scope="session")
def mdmf_tensors() -> dict[str, np.ndarray]:
    return small_tensors("mdmf_vitb16", SMALL)


@pytest.fixture(scope="session")
def clip_fsar_tensors() -> dict[str, np.ndarray]:
    return small_tensors("clip_fsar_vitb16", SMALL)


@pytest.fixture(scope="session")
def mdmf_resnet_tensors() -> dict[str, np.ndarray]:
    return small_tensors("mdmf_rn50", SMALL_RESNET)


@pytest.fixture(scope="session")
def clip_resnet_tensors() -> dict[str, np.ndarray]:
    """A small CLIP under OpenAI's names, with OpenAI's number of tokens."""
    return small_tensors("clip_rn50", SMALL_RESNET)


@pytest.fixture
def command(capsys):
    """Runs a command that must succeed; returns what it printed."""

    def run(*argv) -> str:
        code, printed = cli.main([str(text) for text in argv]), capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return run


@pytest.fixture
def fails(capsys):
    """Runs a command that must fail; returns its error message."""

    def run(*argv) -> str:
        code, printed = cli.main([str(text) for text in argv]), capsys.readouterr()
        assert code == 2
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
        return printed.err[len("error: ") : -1]

    return run
