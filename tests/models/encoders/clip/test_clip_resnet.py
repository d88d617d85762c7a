"""The ResNet tower against plain NumPy in float64, and its frozen BatchNorm."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig
from mdmf_jax.models.encoders.clip.resnet import AttentionPool, Bottleneck, FrozenBatchNorm
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.training.optimizer import make_optimizer

SMALL = ResNetConfig((2, 1, 1, 1), width=4, heads=4, image_size=64)
CONFIG = CLIPConfig(SMALL, TextConfig(16, 32, 1, 2), 6)


def conv(x, kernel, stride=1):
    """Sums over every window of the zero-padded images."""
    side = len(kernel)
    x = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return np.einsum("nhwcij,ijcd->nhwd", windows[:, ::stride, ::stride], kernel)


def norm(x, p):
    return (x - p["mean"]) / np.sqrt(p["var"] + 1e-5) * p["scale"] + p["bias"]


def relu(x):
    return np.maximum(x, 0)


def pool(x, side):
    count, height, width, size = x.shape
    cells = x.reshape(count, height // side, side, width // side, side, size)
    return cells.mean(axis=(2, 4))


def bottleneck(x, p, stride):
    y = relu(norm(conv(x, p["conv1"]["kernel"]), p["bn1"]))
    y = relu(norm(conv(y, p["conv2"]["kernel"]), p["bn2"]))
    y = norm(conv(pool(y, stride), p["conv3"]["kernel"]), p["bn3"])
    if "downsample_conv" in p:
        x = norm(conv(pool(x, stride), p["downsample_conv"]["kernel"]), p["downsample_bn"])
    return relu(x + y)


def attention_pool(x, p, heads):
    def dense(name, y):
        return y @ p[name]["kernel"] + p[name]["bias"]

    pooled = []
    for cells in x.reshape(len(x), -1, x.shape[-1]):
        tokens = np.concatenate([cells.mean(axis=0)[None], cells]) + p["positional_embedding"]
        query, keys, values = (dense(f"{letter}_proj", tokens) for letter in "qkv")
        parts = []
        split = [np.split(y, heads, axis=1) for y in (query, keys, values)]
        for q, k, v in zip(*split, strict=True):
            weights = np.exp(k @ q[0] / np.sqrt(len(q[0])))
            parts.append(weights @ v / weights.sum())
        pooled.append(np.concatenate(parts))
    return np.stack(pooled)


def tower(x, p):
    """Up to the attention pooling of the small tower."""
    for number, stride in ((1, 2), (2, 1), (3, 1)):
        x = relu(norm(conv(x, p[f"conv{number}"]["kernel"], stride), p[f"bn{number}"]))
    x = pool(x, 2)
    for stage, blocks in enumerate(SMALL.layers, 1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            x = bottleneck(x, p[f"layer{stage}"][str(block)], stride)
    return x


def random_params(module, *inputs):
    """Random leaves: kernels that keep the scale, variances that are positive and differ."""
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        if path[-1].key == "var":
            return rng.uniform(0.3, 2, shape.shape).astype(np.float32)
        fan_in = math.prod(shape.shape[:-1])
        return rng.normal(0.1 if fan_in == 1 else 0, fan_in**-0.5, shape.shape).astype(np.float32)

    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    return jax.tree_util.tree_map_with_path(leaf, shapes)


def exact(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def error(ours, expected):
    return np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def params():
    return random_params(CLIPVision(CONFIG), jnp.zeros((1, 64, 64, 3)))


@pytest.mark.parametrize(
    ("channels", "stride", "shortcut"), [(12, 1, False), (8, 1, True), (12, 2, True)]
)
def test_a_block_is_that_of_numpy(channels, stride, shortcut):
    module, x = Bottleneck(3, stride), images(2, 6, 4, channels)
    params = random_params(module, x)
    assert ("downsample_conv" in params) == shortcut
    expected = bottleneck(exact(x), exact(params), stride)
    assert expected.shape == (2, 6 // stride, 4 // stride, 12)
    assert error(jax.jit(module.apply)({"params": params}, x), expected) < 1e-5


def test_attention_pooling_is_that_of_numpy():
    module, x = AttentionPool(SMALL), images(3, 2, 2, 128)
    params = random_params(module, x)
    expected = attention_pool(exact(x), exact(params), heads=4)
    assert error(jax.jit(module.apply)({"params": params}, x), expected) < 1e-5


def test_the_whole_tower_is_that_of_numpy(params, strict_ranks):
    x, exactly = images(2, 64, 64, 3), exact(params)
    cells = tower(exact(x), exactly["vision_model"])
    assert cells.shape == (2, 2, 2, 128)
    pooled = attention_pool(cells, exactly["vision_model"]["attnpool"], heads=4)
    last = exactly["visual_projection"]
    features = jax.jit(CLIPVision(CONFIG).apply)({"params": params}, x)
    assert error(features, pooled @ last["kernel"] + last["bias"]) < 1e-5
    both = CLIPVision(CONFIG, wanted=("patches", "frames"))
    found = jax.jit(partial(both.apply, method="features"))({"params": params}, x)
    assert tuple(sorted(found)) == ("frames", "patches")
    assert error(found["frames"], pooled @ last["kernel"] + last["bias"]) < 1e-5
    assert error(found["patches"], cells.reshape(2, 4, 128)) < 1e-5


def test_running_statistics_get_no_gradient_and_adam_leaves_them_alone():
    module, x = Bottleneck(3, 2), images(2, 6, 4, 8)
    params = random_params(module, x)
    optimizer = make_optimizer(0.1)

    @jax.jit
    def step(params, state):
        gradients = jax.grad(lambda p: (module.apply({"params": p}, x) ** 2).sum())(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, gradients

    trained, state = params, optimizer.init(params)
    for _ in range(2):
        trained, state, gradients = step(trained, state)
    before, after = flatten_dict(params), flatten_dict(trained)
    for path, slope in flatten_dict(gradients).items():
        statistic = path[-1] in ("mean", "var")
        assert np.any(slope) != statistic, path
        assert np.array_equal(before[path], after[path]) == statistic, path


def test_bfloat16_computes_near_float32_with_float32_parameters(params):
    x = images(2, 64, 64, 3)
    exactly = jax.jit(CLIPVision(CONFIG).apply)({"params": params}, x)
    model = CLIPVision(CONFIG, dtype=jnp.bfloat16)
    half = jax.jit(model.apply)({"params": params}, x)
    assert half.dtype == jnp.bfloat16
    assert 1e-5 < error(half.astype(jnp.float32), exactly) < 0.05
    made = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype("float32")}


def test_a_new_block_is_its_shortcut():
    module, x = Bottleneck(3), images(2, 6, 4, 12)
    y, _ = jax.jit(module.init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(y, relu(x))


def test_images_of_another_size_are_refused(params):
    with pytest.raises(ConfigError, match=r"\[N, 64, 64, 3\]"):
        CLIPVision(CONFIG).apply({"params": params}, jnp.zeros((2, 32, 32, 3)))


def test_statistics_of_the_images_themselves():
    rng = np.random.default_rng(3)
    x = rng.normal(2, 3, (4, 3, 5, 6)).astype(np.float32)
    p = {
        name: rng.uniform(0.5, 2, 6).astype(np.float32) for name in ("scale", "bias", "var", "mean")
    }
    own = p | {"mean": x.mean((0, 1, 2)), "var": x.var((0, 1, 2))}
    found = FrozenBatchNorm(batch=True).apply({"params": p}, x)
    np.testing.assert_allclose(found, norm(x, own), atol=1e-5)
    assert np.abs(found - FrozenBatchNorm().apply({"params": p}, x)).max() > 0.1
