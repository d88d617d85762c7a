"""Reading the files that checkpoints consist of."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mdmf_jax.errors import WeightsError


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of a safetensors file, in the types it has there.

    Raises:
      WeightsError: the file is missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file (PyTorch .bin files must be converted first)")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file, or damaged ({error})") from error
