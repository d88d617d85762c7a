"""Keys and values of frame tuples, the tokens that TRX and the segment transformer compare."""

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel
from mdmf_jax.ops.tuples import position_encoding


def check_sizes(name: str, sizes: tuple[int, ...], frames: int) -> None:
    """Raises ConfigError unless these sizes of frame tuples are in order and fit the frames.

    Args:
      name: of the setting, for the message.
      frames: T, frames of a video.
    """
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise ConfigError(f"{name} is {sizes}; it must be numbers in ascending order, each once")
    if sizes[-1] > frames:
        raise ConfigError(
            f"{name} is {sizes}, but tuples of {sizes[-1]} frames need at least {sizes[-1]} "
            f"frames and data.frames is {frames}"
        )


class PositionEncoding(nn.Module):
    """Adds the place of each frame in the video, then dropout."""

    dropout: float

    @nn.compact
    def __call__(self, frames, *, train: bool):
        """[N, T, D] -> [N, T, D]."""
        places = position_encoding(*frames.shape[-2:]).astype(frames.dtype)
        return nn.Dropout(self.dropout)(frames + places[None], deterministic=not train)


class TupleProjection(nn.Module):
    """A linear layer on the concatenated frames of each tuple.

    With more tuples than frames, each frame is multiplied once for each place that it may have
    in a tuple, and the products are added up: the same sum in another order, which for the 28
    pairs and 56 triples of 8 frames is a sixth of the work.
    """

    features: int

    @nn.compact
    def __call__(self, frames, tuples):
        """Frames [N, T, D], frame numbers of tuples [S, m] -> [N, S, features]."""
        count, size = tuples.shape
        width = frames.shape[-1]
        kernel = self.param("kernel", torch_kernel, (size, width, self.features), jnp.float32)
        bias = self.param("bias", torch_bias(size * width), (self.features,))
        if count <= frames.shape[-2]:
            return jnp.einsum("nsmd,mdf->nsf", frames[:, tuples], kernel) + bias
        products = jnp.einsum("ntd,mdf->mntf", frames, kernel)
        return sum(products[place][:, tuples[:, place]] for place in range(size)) + bias
