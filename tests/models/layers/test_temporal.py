import jax
import numpy as np
import pytest

from mdmf_jax.models.layers.temporal import (
    CausalConv,
    GlobalTemporalContext,
    LocalTemporalContext,
    TemporalConvNet,
)


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


def weight_normalised(layer):
    direction = np.asarray(layer["direction"])
    return direction / np.sqrt((direction**2).sum((0, 1))) * np.asarray(layer["gain"])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_causal_convolution(frames, stride):
    x, module = draw(2, frames, 4), CausalConv(stride)
    params = module.init(jax.random.key(0), x)["params"]
    direction = np.asarray(params["direction"])
    for channel in range(4):  # the initial gain leaves the kernel as drawn
        length = np.linalg.norm(direction[..., channel])
        np.testing.assert_allclose(params["gain"][channel], length, rtol=1e-5)
    params = {**params, "gain": draw(4, seed=1)}
    expected = numpy_conv(x, weight_normalised(params), params["bias"], (-2, -1, 0))
    expected = expected[:, ::-stride][:, ::-1]
    ours = module.apply({"params": params}, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 16])
def test_last_state_is_that_of_the_whole_network(frames):
    x, module = draw(2, frames, 4), TemporalConvNet()
    params = module.init(jax.random.key(0), x, train=False)["params"]
    state = x
    for block, dilation in enumerate((1, 2, 4)):
        hidden = state
        for layer in (1, 2):
            layer = params[f"block{block}_conv{layer}"]
            offsets = (-2 * dilation, -dilation, 0)
            hidden = numpy_conv(hidden, weight_normalised(layer), layer["bias"], offsets)
            hidden = np.maximum(hidden, 0)
        state = np.maximum(state + hidden, 0)
    ours = module.apply({"params": params}, x, train=False)
    np.testing.assert_allclose(ours, state[:, -1], rtol=1e-4, atol=1e-5)


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
