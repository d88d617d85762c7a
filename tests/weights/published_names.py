"""Names and shapes of published state dictionaries, and random numbers of these shapes."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "state_dicts"


def shapes(model: str) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of a published model, such as "mdmf_vitb16"."""
    lines = (FOLDER / f"{model}.tsv").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if line]
    return {
        name: () if shape == "scalar" else tuple(map(int, shape.split("x")))
        for name, shape in pairs
    }


def random_tensors(named_shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict:
    """Small random float32 arrays; BatchNorm's counters are whole numbers."""
    rng = np.random.default_rng(seed)
    return {
        name: np.array(7, np.int64)
        if name.endswith("num_batches_tracked")
        else np.asarray(0.1 * rng.standard_normal(shape, np.float32))
        for name, shape in named_shapes.items()
    }
