"""Hooks of a tower's blocks, against NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from plain_tower import attend, block, error, exact, layer_norm, mlp, random_like
from toy_hooks import HOOKS, PROJECTIONS, adapter_with, in_numpy

from mdmf_jax.models.encoders.clip.config import VisionConfig
from mdmf_jax.models.encoders.clip.stack import EncoderLayers
from mdmf_jax.models.layers.adapter import Adapter, TowerCall

HEADS, BLOCKS = 2, 4
SIZES = (2, 3, 5, 8)  # N, T, L, D
VISION = VisionConfig(8, 16, BLOCKS, HEADS, image_size=16, patch_size=8)  # 1 + 4 tokens
LOOPS = [{}, {"remat": True, "scan": True}]
TOKENS = np.random.default_rng(1).normal(size=SIZES).astype(np.float32)


def stack(adapter=None, **options):
    return EncoderLayers(VISION, adapter_of=lambda index: adapter, **options)


def run(layers, params, tokens=TOKENS, texts=None, call=None):
    """The stack on tokens [N, T, L, D] -> [N, T, L, D]."""
    rows, call = tokens.reshape(-1, *tokens.shape[2:]), call or TowerCall(tokens.shape[1])
    found = layers.apply({"params": params}, jnp.asarray(rows), texts, call)[0]
    return found.reshape(tokens.shape)


@pytest.fixture(scope="module")
def params():
    rows = jnp.zeros((6, *SIZES[2:]))
    return random_like(jax.eval_shape(stack().init, jax.random.key(0), rows)["params"])


@pytest.mark.parametrize("options", LOOPS, ids=["unrolled", "loops"])
@pytest.mark.parametrize("names", [*((name,) for name in HOOKS), tuple(HOOKS)], ids="+".join)
def test_hooks_are_used_where_they_say(params, names, options):
    x = exact(TOKENS)
    for index in range(BLOCKS):
        x = block(exact(params[str(index)]), x, HEADS, **in_numpy(names, index))
    ours = jax.jit(partial(run, stack(adapter_with(*names), **options)))(params)
    assert error(ours, x) < 1e-5
    assert error(run(stack(), params), x) > 1e-3  # they do something


def test_hooks_are_given_tokens_of_videos_and_frames(params):
    seen = []

    def recording(name):
        def hook(self, *arguments):
            layer = arguments[0] if name == "beside_projection" else ""
            seen.append((name, layer, arguments[-2].shape, arguments[-1].block))
            return HOOKS[name](self, *arguments)

        return hook

    run(stack(type("Records", (Adapter,), {name: recording(name) for name in HOOKS})), params)
    wide = (*SIZES[:3], 16)
    order = [
        ("before_attention", "", SIZES),
        *(("beside_projection", f"{letter}_proj", SIZES) for letter in "qkv"),
        ("beside_projection", "out_proj", SIZES),
        ("after_attention", "", SIZES),
        ("beside_mlp", "", SIZES),
        ("beside_projection", "fc1", SIZES),
        ("beside_projection", "fc2", wide),
        ("after_block", "", SIZES),
    ]
    expected = [(*call, index) for index in range(BLOCKS) for call in order]
    assert sorted(seen, key=str) == sorted(expected, key=str)
    for index in range(BLOCKS):  # and in the order in which a block computes
        names = [name for name, _, _, number in seen if number == index]
        hooks = [name for name in names if name not in ("beside_projection", "beside_mlp")]
        assert hooks == ["before_attention", "after_attention", "after_block"]


@pytest.mark.parametrize("options", LOOPS, ids=["unrolled", "loops"])
def test_a_hook_may_use_the_layers_of_its_block_again(params, options):
    class Again(Adapter):
        def after_block(self, x, context):
            over_frames = context.attend(context.norm1(x).swapaxes(1, 2)).swapaxes(1, 2)
            one_video = context.mlp(context.norm2(x[0]))  # [T, L, D]
            return x + 0.5 * over_frames + 0.2 * one_video[None]

    def again(p, x):
        over_frames = attend(p["self_attn"], layer_norm(p["layer_norm1"], x).swapaxes(1, 2), HEADS)
        one_video = mlp(p["mlp"], layer_norm(p["layer_norm2"], x[0]))
        return x + 0.5 * over_frames.swapaxes(1, 2) + 0.2 * one_video[None]

    x = exact(TOKENS)
    for index in range(BLOCKS):
        p = exact(params[str(index)])
        x = block(p, x, HEADS, after_block=partial(again, p))
    assert error(jax.jit(partial(run, stack(Again, **options)))(params), x) < 1e-5


@pytest.mark.parametrize("options", LOOPS, ids=["unrolled", "loops"])
def test_an_adapter_may_replace_the_first_half_of_its_block(params, options):
    class Replaces(Adapter):
        def around_attention(self, x, attended, context):
            y = context.norm1(x).swapaxes(1, 2)  # [N, L, T, D]
            over_frames = context.attend(y, there=jnp.arange(3) < 2)
            earlier = context.attend(y, causal=True)
            x = attended(attended(x))
            return x + over_frames.swapaxes(1, 2).at[:, 2].set(0) + 0.5 * earlier.swapaxes(1, 2)

    x = exact(TOKENS)
    for index in range(BLOCKS):
        p = exact(params[str(index)])
        y = layer_norm(p["layer_norm1"], x).swapaxes(1, 2)
        over_frames = attend(p["self_attn"], y[:, :, :2], HEADS).swapaxes(1, 2)
        earlier = attend(p["self_attn"], y, HEADS, causal=True).swapaxes(1, 2)
        for _ in range(2):
            x = x + attend(p["self_attn"], layer_norm(p["layer_norm1"], x), HEADS)
        x = x + np.pad(over_frames, ((0, 0), (0, 1), (0, 0), (0, 0))) + 0.5 * earlier
        x = x + mlp(p["mlp"], layer_norm(p["layer_norm2"], x))
    assert error(jax.jit(partial(run, stack(Replaces, **options)))(params), x) < 1e-5


class LowRank(Adapter):
    """Two thin matrices beside each kernel."""

    @nn.compact
    def beside_projection(self, name, x, context):
        size = 16 if name == "fc1" else 8
        down = self.param(f"{name}_down", nn.initializers.normal(1.0), (x.shape[-1], 2))
        up = self.param(f"{name}_up", nn.initializers.normal(1.0), (2, size))
        return x @ down @ up


@pytest.mark.parametrize("options", LOOPS, ids=["unrolled", "loops"])
def test_a_product_beside_a_projection_is_a_sum_of_kernels(options):
    adapted, rows = stack(LowRank, **options), jnp.zeros((6, *SIZES[2:]))
    init = partial(adapted.init, x=rows, call=TowerCall(3))
    params, merged = random_like(jax.eval_shape(init, jax.random.key(0))["params"]), {}
    for index, own in params.items():
        beside, merged[index] = own["adapter"], {k: v for k, v in own.items() if k != "adapter"}
        assert set(beside) == {f"{name}_{end}" for name in PROJECTIONS for end in ("down", "up")}
        for module in ("self_attn", "mlp"):
            merged[index][module] = {
                name: {"kernel": p["kernel"] + beside[f"{name}_down"] @ beside[f"{name}_up"],
                       "bias": p["bias"]}
                for name, p in own[module].items()
            }  # fmt: skip
    expected = exact(TOKENS)
    for index in range(BLOCKS):
        expected = block(exact(merged[str(index)]), expected, HEADS)
    assert error(jax.jit(partial(run, adapted))(params), expected) < 1e-4
    assert error(jax.jit(partial(run, stack(**options)))(merged), expected) < 1e-4


@pytest.mark.parametrize("shape", [(), (8,), (5, 8), (3, 1, 1), (2, 1, 5, 8), (1, 3, 5, 8)])
def test_what_is_added_may_be_smaller_than_the_tokens(params, shape):
    added = np.random.default_rng(4).normal(size=shape).astype(np.float32)

    class Adds(Adapter):
        def beside_mlp(self, normed, context):
            return jnp.asarray(added)

        def beside_projection(self, name, x, context):
            return jnp.asarray(added) if name == "out_proj" else 0.0

    x = exact(TOKENS)
    for index in range(BLOCKS):
        hooks = {
            "beside_mlp": lambda normed: added,
            "beside_projection": lambda name, x: added if name == "out_proj" else 0.0,
        }
        x = block(exact(params[str(index)]), x, HEADS, **hooks)
    assert error(run(stack(Adds), params), x) < 1e-5


@pytest.mark.parametrize("options", LOOPS, ids=["unrolled", "loops"])
def test_an_adapter_in_float32_leaves_a_tower_in_bfloat16(params, options):
    class Wide(Adapter):
        def before_attention(self, x, context):
            return HOOKS["before_attention"](self, x.astype(jnp.float32), context)

        def after_attention(self, y, context):
            return HOOKS["after_attention"](self, y.astype(jnp.float32), context)

        def beside_mlp(self, normed, context):
            return HOOKS["beside_mlp"](self, normed.astype(jnp.float32), context)

        def beside_projection(self, name, x, context):
            return HOOKS["beside_projection"](self, name, x.astype(jnp.float32), context)

        def after_block(self, x, context):
            assert x.dtype == jnp.bfloat16
            return HOOKS["after_block"](self, x.astype(jnp.float32), context)

    layers = stack(Wide, dtype=jnp.bfloat16, **options)
    ours = run(layers, params, jnp.asarray(TOKENS, jnp.bfloat16))
    assert ours.dtype == jnp.bfloat16
    x = exact(TOKENS)
    for index in range(BLOCKS):
        x = block(exact(params[str(index)]), x, HEADS, **in_numpy(tuple(HOOKS), index))
    assert 1e-4 < error(ours.astype(jnp.float32), x) < 0.1
