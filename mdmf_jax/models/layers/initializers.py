"""Initial values of PyTorch's Linear and Conv layers, which the published heads start from."""

import jax
import jax.numpy as jnp
from flax import linen as nn

# Uniform within 1 / sqrt(fan_in), for weights.
torch_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def torch_bias(fan_in: int) -> nn.initializers.Initializer:
    """Uniform within 1 / sqrt(fan_in), for the bias of a layer with `fan_in` inputs."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
