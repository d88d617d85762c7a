"""Temporal context encoders of CLIP-MDMF: LTCE (local) and GTCE (global)."""

import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel


class LocalTemporalContext(nn.Module):
    """LTCE: two convolutions of width 3 along time, with nothing between them."""

    @nn.compact
    def __call__(self, frames):
        """[N, T, D] -> [N, T, D]."""
        features = frames.shape[-1]
        for name in ("conv1", "conv2"):
            frames = nn.Conv(
                features,
                kernel_size=(3,),
                padding=1,
                kernel_init=torch_kernel,
                bias_init=torch_bias(3 * features),
                name=name,
            )(frames)
        return frames


class CausalConv(nn.Module):
    """Convolution of width 3 that sees t, t - 1 and t - 2, at the last t and every `stride`-th
    before it.

    The kernel is weight-normalised for each output channel: gain * direction / |direction|.
    """

    stride: int = 1

    @nn.compact
    def __call__(self, frames):
        """[N, T, D] -> [N, ceil(T / stride), D]."""
        features = frames.shape[-1]
        direction = self.param("direction", torch_kernel, (3, features, features), jnp.float32)
        length = jnp.sqrt(jnp.sum(direction**2, axis=(0, 1)))
        gain = self.param("gain", lambda _: length)
        bias = self.param("bias", torch_bias(3 * features), (features,))
        # As a matrix product: some XLA versions are slow at convolutions of very few frames.
        kernel = (direction * (gain / length)).reshape(3 * features, features)
        return causal_windows(frames, self.stride) @ kernel + bias


def causal_windows(frames, stride: int):
    """Frames t - 2, t - 1 and t side by side, for the last t and every `stride`-th before it.

    [N, T, D] -> [N, ceil(T / stride), 3 D]; before the first frame are zeros.
    """
    length = frames.shape[1]
    first = (length - 1) % stride
    padded = jnp.pad(frames, ((0, 0), (2, 0), (0, 0)))
    taps = [padded[:, first + tap : length + tap : stride] for tap in range(3)]
    return jnp.concatenate(taps, axis=-1)


class TemporalConvNet(nn.Module):
    """Last state of a TCN (Bai et al., 2018) of residual blocks of two causal convolutions.

    The dilations of the blocks are 1, 2, 4, ... Only the last state is asked for, so a block
    needs to be computed at every dilation-th frame only, and its second convolution at every
    second of those. With the other frames left out, no convolution has a dilation.
    """

    dropout: float = 0.1
    blocks: int = 3

    @nn.compact
    def __call__(self, frames, *, train: bool):
        """[N, T, D] -> [N, D]."""
        for block in range(self.blocks):
            hidden = frames
            for layer in (1, 2):
                hidden = CausalConv(stride=layer, name=f"block{block}_conv{layer}")(hidden)
                hidden = Dropout(self.dropout)(nn.relu(hidden), train=train)
            first = (frames.shape[1] - 1) % 2
            frames = nn.relu(frames[:, first::2] + hidden)
        return frames[:, -1]


class GlobalTemporalContext(nn.Module):
    """GTCE: the last state of a TCN, added to every frame. Takes any number of frames."""

    dropout: float = 0.1

    @nn.compact
    def __call__(self, frames, *, train: bool):
        """[N, T, D] -> [N, T, D]."""
        summary = TemporalConvNet(self.dropout, name="tcn")(frames, train=train)
        return frames + summary[:, None]
