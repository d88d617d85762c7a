"""Temporal context encoders of CLIP-MDMF: LTCE (local) and GTCE (global)."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from mdmf_jax.models.initializers import torch_bias, torch_kernel


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
    """Dilated convolution of width 3 that sees t, t - dilation and t - 2 dilation.

    The kernel is weight-normalised for each output channel: gain * direction / |direction|.
    """

    dilation: int

    @nn.compact
    def __call__(self, frames):
        """[N, T, D] -> [N, T, D]."""
        features = frames.shape[-1]
        direction = self.param("direction", torch_kernel, (3, features, features), jnp.float32)
        length = jnp.sqrt(jnp.sum(direction**2, axis=(0, 1)))
        gain = self.param("gain", lambda _: length)
        bias = self.param("bias", torch_bias(3 * features), (features,))
        convolved = lax.conv_general_dilated(
            frames,
            direction * (gain / length),
            window_strides=(1,),
            padding=[(2 * self.dilation, 0)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return convolved + bias


class TemporalConvNet(nn.Module):
    """TCN (Bai et al., 2018): residual blocks of two causal convolutions, dilations 1, 2, 4."""

    dropout: float = 0.1
    dilations: tuple[int, ...] = (1, 2, 4)

    @nn.compact
    def __call__(self, frames, *, train: bool):
        """[N, T, D] -> [N, T, D]."""
        for block, dilation in enumerate(self.dilations):
            hidden = frames
            for layer in (1, 2):
                hidden = CausalConv(dilation, name=f"block{block}_conv{layer}")(hidden)
                hidden = nn.Dropout(self.dropout)(nn.relu(hidden), deterministic=not train)
            frames = nn.relu(frames + hidden)
        return frames


class GlobalTemporalContext(nn.Module):
    """GTCE: the last state of a TCN, added to every frame. Takes any number of frames."""

    dropout: float = 0.1

    @nn.compact
    def __call__(self, frames, *, train: bool):
        """[N, T, D] -> [N, T, D]."""
        summary = TemporalConvNet(self.dropout, name="tcn")(frames, train=train)[:, -1:]
        return frames + summary
