import jax
import numpy as np
import pytest

from mdmf_jax.models.temporal import CausalConv, GlobalTemporalContext, LocalTemporalContext


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def numpy_conv(x, kernel, bias, offsets):
    """y[t] = bias + sum_k x[t + offsets[k]] kernel[k], zeros outside."""
    kernel = np.asarray(kernel)
    out = np.zeros((*x.shape[:2], kernel.shape[-1])) + np.asarray(bias)
    for t in range(x.shape[1]):
        for k, offset in enumerate(offsets):
            if 0 <= t + offset < x.shape[1]:
                out[:, t] += x[:, t + offset] @ kernel[k]
    return out


def test_local_context_is_two_convolutions():
    x, module = draw(2, 6, 4), LocalTemporalContext()
    params = module.init(jax.random.key(0), x)["params"]
    expected = x
    for name in ("conv1", "conv2"):
        layer = params[name]
        expected = numpy_conv(expected, layer["kernel"], layer["bias"], (-1, 0, 1))
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_causal_convolution(dilation):
    x, module = draw(2, 9, 4), CausalConv(dilation)
    params = module.init(jax.random.key(0), x)["params"]
    direction = np.asarray(params["direction"])
    for channel in range(4):  # the initial gain leaves the kernel as drawn
        length = np.linalg.norm(direction[..., channel])
        np.testing.assert_allclose(params["gain"][channel], length, rtol=1e-5)
    gain = draw(4, seed=1)
    lengths = np.sqrt((direction**2).sum((0, 1)))
    kernel = direction / lengths * gain
    expected = numpy_conv(x, kernel, params["bias"], (-2 * dilation, -dilation, 0))
    ours = module.apply({"params": {**params, "gain": gain}}, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3, 8, 16])
def test_global_context_adds_one_vector_to_every_frame(frames):
    x, module = draw(2, frames, 4), GlobalTemporalContext()
    params = module.init(jax.random.key(0), x, train=False)
    added = module.apply(params, x, train=False) - x
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1], added.shape), atol=1e-6)
    assert np.abs(added).max() > 0


def test_dropout_acts_in_training_only():
    x, module = draw(2, 8, 4), GlobalTemporalContext()
    params = module.init(jax.random.key(0), x, train=False)
    rngs = {"dropout": jax.random.key(1)}
    trained = module.apply(params, x, train=True, rngs=rngs)
    assert not np.allclose(trained, module.apply(params, x, train=False))
