"""A gate for each feature, as CLIP-SPM has them for frames and texts (arXiv 2512.19036)."""

from flax import linen as nn

from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel


class Gate(nn.Module):
    """Values from 0 to 1 for each feature. [..., D] -> [..., D]."""

    width: float  # inner, relative to D
    slope: float

    @nn.compact
    def __call__(self, x):
        size = x.shape[-1]
        for name, outer in (("fc1", int(size * self.width)), ("fc2", size)):
            bias = torch_bias(x.shape[-1])
            dense = nn.Dense(outer, kernel_init=torch_kernel, bias_init=bias, name=name)
            x = dense(x if name == "fc1" else nn.leaky_relu(x, self.slope))
        return nn.sigmoid(x)
