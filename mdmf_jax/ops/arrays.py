"""What the functions of this package take: arrays of JAX, traced or not, and of NumPy."""

from typing import TypeAlias

import jax
import numpy as np

AnyArray: TypeAlias = jax.Array | np.ndarray
