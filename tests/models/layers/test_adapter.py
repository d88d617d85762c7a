"""Hooks of the blocks of both towers, against NumPy and against towers without adapters."""

from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from plain_tower import attend, block, error, exact, layer_norm, mlp, random_like

from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.stack import EncoderLayers
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.adapter import Adapter, EpisodeSizes, TowerCall

HEADS, BLOCKS = 2, 4
SIZES = (2, 3, 5, 8)  # N, T, L, D
VISION = VisionConfig(8, 16, BLOCKS, HEADS, image_size=16, patch_size=8)  # 1 + 4 tokens
TEXT = TextConfig(8, 16, 2, HEADS, vocab_size=20, max_position_embeddings=7, eos_token_id=19)
CLIP = CLIPConfig(VISION, TEXT, 6)
LOOPS = [{}, {"remat": True, "scan": True}]
PROJECTIONS = {"q_proj": 0.3, "k_proj": -0.2, "v_proj": 0.5, "out_proj": 0.4, "fc1": -0.6, "fc2": 1}
TOKENS = np.random.default_rng(1).normal(size=SIZES).astype(np.float32)

# What adapters do in these tests, for arrays of JAX and of NumPy. Each mixes along an axis of its
# own, so that tokens in a wrong place would show.
HOOKS = {
    "before_attention": lambda self, x, context: x + 0.3 * x[:, ::-1],
    "after_attention": lambda self, y, context: (1.5 + context.block) * y[:, :, ::-1],
    "beside_mlp": lambda self, normed, context: 0.2 * normed.mean(1, keepdims=True),
    "after_block": lambda self, x, context: x - 0.1 * x[::-1],
    "beside_projection": lambda self, name, x, context: (
        PROJECTIONS[name] * x.mean(-1, keepdims=True)
    ),
}


def adapter_with(*names):
    return type("Some", (Adapter,), {name: HOOKS[name] for name in names})


def in_numpy(names, index):
    """The same hooks for `block`."""
    context = SimpleNamespace(block=index)

    def bound(name):
        if name == "beside_projection":
            return lambda layer, x: HOOKS[name](None, layer, x, context)
        return lambda x: HOOKS[name](None, x, context)

    return {name: bound(name) for name in names}


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


class Images(CLIPEncoder):
    """Adapters of one class in all blocks of both towers."""

    kind: ClassVar[type[Adapter] | None] = None

    @nn.nowrap
    def adapter(self, tower, block):
        return self.kind


def encoder(kind=None, wanted=("frames", "patches", "tokens_2"), **attributes):
    cls = type("Adapted", (Images,), {"kind": kind})
    return cls(CLIPOptions(), CLIP, wanted=wanted, **attributes)


VIDEOS = {"rgb": np.random.default_rng(2).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)}
IDS = np.random.default_rng(3).integers(0, 19, (3, 2, 7)).astype(np.int32)
IDS[..., -1] = 19


@pytest.fixture(scope="module")
def clip_params():
    return clip_shapes(encoder())


def clip_shapes(module: Encoder):
    shapes = jax.eval_shape(
        partial(module.init, method="everything"), jax.random.key(0), VIDEOS, IDS
    )
    return random_like(shapes["params"])


def test_the_base_changes_no_bit(clip_params):
    with_base, without = encoder(Adapter), encoder()
    same_leaves = jax.tree.structure(clip_shapes(with_base))
    assert same_leaves == jax.tree.structure(clip_params)
    variables = {"params": clip_params}
    ours = with_base.apply(variables, VIDEOS, method="videos")
    theirs = without.apply(variables, VIDEOS, method="videos")
    assert set(ours) == {"frames", "patches", "tokens_2"}
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    texts = [e.apply(variables, IDS, method="texts") for e in (with_base, without)]
    assert texts[0].shape == (3, 2, 6)
    np.testing.assert_array_equal(*texts)


def test_where_only_the_first_token_is_wanted_an_adapter_sees_all(clip_params):
    names = ("before_attention", "after_attention", "after_block")
    variables = {"params": clip_params}
    few, all_tokens = (
        encoder(adapter_with(*names), wanted).apply(variables, VIDEOS, method="videos")
        for wanted in (("frames",), ("frames", "tokens_4"))
    )
    np.testing.assert_array_equal(few["frames"], all_tokens["frames"])
    base = encoder(Adapter, ("frames",)).apply(variables, VIDEOS, method="videos")["frames"]
    plain = encoder(None, ("frames",)).apply(variables, VIDEOS, method="videos")["frames"]
    np.testing.assert_allclose(base, plain, rtol=1e-5, atol=1e-6)


def test_the_text_tower_has_classes_and_texts_in_the_place_of_videos_and_frames(clip_params):
    p = exact(clip_params)
    tower, x = p["text_model"], p["text_model"]["embeddings"]["token_embedding"]["embedding"][IDS]
    x = x + tower["embeddings"]["position_embedding"]["embedding"]  # [C, M, L, D]
    for index in range(2):
        blocks, hooks = tower["encoder"]["layers"][str(index)], in_numpy(tuple(HOOKS), index)
        x = block(blocks, x, HEADS, causal=True, **hooks)
    x = layer_norm(tower["final_layer_norm"], x)
    first = np.argmax(IDS == 19, axis=-1)[..., None, None]
    expected = np.take_along_axis(x, first, 2)[:, :, 0] @ p["text_projection"]["kernel"]
    module = encoder(adapter_with(*HOOKS))
    ours = module.apply({"params": clip_params}, IDS, method="texts")
    assert error(ours, expected) < 1e-5


def test_a_hook_knows_its_tower_and_the_call(clip_params):
    seen, texts, sizes = [], np.ones((3, 1, 6), np.float32), EpisodeSizes(1, 1)

    def after_block(self, x, context):
        seen.append((context.block, context.blocks, context.call, context.train, context.texts))
        return x

    module = encoder(type("Asks", (Adapter,), {"after_block": after_block}))
    options = {"train": True, "episode": sizes}
    module.apply({"params": clip_params}, VIDEOS, texts, **options, method="videos")
    for index, (number, count, call, train, given) in enumerate(seen):
        assert (number, count, train) == (index, BLOCKS, True)
        assert call == TowerCall(3, True, sizes)
        assert given is texts
    seen.clear()
    module.apply({"params": clip_params}, IDS, method="texts")
    assert [fact[:4] for fact in seen] == [(i, 2, TowerCall(2), False) for i in range(2)]


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
