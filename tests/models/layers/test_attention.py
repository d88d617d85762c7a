"""Attention: no mask in the image tower, a causal one in the text tower, bfloat16, remat."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.layers import attention as module
from mdmf_jax.models.layers.attention import attention

TEXT = TextConfig(8, 16, 2, 2, vocab_size=20, max_position_embeddings=7, eos_token_id=19)
VIT = CLIPConfig(VisionConfig(8, 16, 2, 2, image_size=16, patch_size=4), TEXT, 6)  # 17 tokens
RESNET = CLIPConfig(ResNetConfig((1, 1, 1, 1), 4, 2, 32), TEXT, 6)


# Compiling takes longer than running.
FAST = {"compiler_options": {"xla_backend_optimization_level": 0}}


def pixels(side):
    values = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3))
    return jnp.asarray(values, jnp.float32)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def mask_shaped(function, *args, length):
    """Booleans [..., length, length] in the program, constants among them."""
    closed = jax.make_jaxpr(function)(*args)
    arrays = [v.aval for e in equations(closed.jaxpr) for v in e.outvars]
    arrays += [jax.typeof(constant) for constant in closed.consts]
    return [
        a for a in arrays if a.dtype == jnp.bool_ and a.shape[-2:] == (length, length)
    ]  # fmt: skip


def test_the_image_tower_has_no_mask_and_the_text_tower_a_causal_one():
    image, text = CLIPVision(VIT), CLIPText(VIT)
    ids = jnp.zeros((2, 7), jnp.int32)
    params = jax.eval_shape(image.init, jax.random.key(0), pixels(16))
    assert not mask_shaped(image.apply, params, pixels(16), length=17)
    params = jax.eval_shape(text.init, jax.random.key(0), ids)
    assert mask_shaped(text.apply, params, ids, length=7)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_formula(causal):
    rng = np.random.default_rng(1)
    q, k, v = rng.normal(size=(3, 2, 5, 3, 4)).astype(np.float32)
    logits = np.einsum("nlhd,nmhd->nhlm", q, k) / 2
    if causal:
        logits = np.where(np.tri(5, dtype=bool), logits, -np.inf)
    weights = np.exp(logits)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("nhlm,nmhd->nlhd", weights, v)
    for implementation in ("auto", "xla"):
        ours = attention(q, k, v, causal=causal, implementation=implementation)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("works", "dtype", "size", "expected"),
    [
        (True, jnp.bfloat16, 64, "cudnn"),
        (True, jnp.float16, 128, "cudnn"),
        (True, jnp.float32, 64, "xla"),
        (True, jnp.bfloat16, 4, "xla"),
        (False, jnp.bfloat16, 64, "xla"),
    ],
)
def test_cudnn_is_chosen_where_it_can_work(monkeypatch, works, dtype, size, expected):
    asked = []
    monkeypatch.setattr(module, "cudnn_works", lambda: works)
    monkeypatch.setattr(
        jax.nn,
        "dot_product_attention",
        lambda *args, implementation, **_: asked.append(implementation),
    )
    x = jnp.zeros((1, 2, 1, size), dtype)
    attention(x, x, x)
    assert asked == [expected]


def test_a_processor_has_no_cudnn():
    assert not module.cudnn_works()


def loss_of(tower, images):
    return lambda params: (tower.apply({"params": params}, images) ** 2).sum()


def test_remat_and_scan_change_neither_names_nor_gradients():
    images = pixels(16)
    params = jax.jit(CLIPVision(VIT).init, **FAST)(jax.random.key(0), images)["params"]
    gradients = []
    for options in ({}, {"remat": True}, {"remat": True, "scan": True}):
        tower = CLIPVision(VIT, **options)
        shapes = jax.eval_shape(tower.init, jax.random.key(0), images)["params"]
        assert jax.tree.structure(shapes) == jax.tree.structure(params)
        gradients.append(jax.jit(jax.grad(loss_of(tower, images)), **FAST)(params))
    for other in gradients[1:]:
        for ours, theirs in zip(*map(jax.tree.leaves, (other, gradients[0])), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("config", "side"), [(VIT, 16), (RESNET, 32)])
def test_remat_is_of_each_block(config, side):
    images = pixels(side)
    shapes = jax.eval_shape(CLIPVision(config).init, jax.random.key(0), images)["params"]
    for remat in (False, True):
        tower = CLIPVision(config, remat=remat)
        program = jax.make_jaxpr(jax.grad(loss_of(tower, images)))(shapes)
        names = [e.primitive.name for e in equations(program.jaxpr)]
        blocks = 2 if config is VIT else 4
        assert names.count("remat2") + names.count("checkpoint") == (blocks if remat else 0)


def test_bfloat16_computes_near_float32_with_float32_softmax():
    images = pixels(16)
    params = jax.jit(CLIPVision(VIT).init, **FAST)(jax.random.key(0), images)
    half = CLIPVision(VIT, jnp.bfloat16)
    exact = jax.jit(CLIPVision(VIT).apply, **FAST)(params, images)
    rough = jax.jit(half.apply, **FAST)(params, images)
    np.testing.assert_allclose(rough, exact, rtol=0.1, atol=0.05)
    shapes = jax.eval_shape(half.init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    program = jax.make_jaxpr(half.apply)(params, images)
    exponentials = [e for e in equations(program.jaxpr) if e.primitive.name == "exp"]
    assert exponentials and all(e.outvars[0].aval.dtype == jnp.float32 for e in exponentials)
    products = [e for e in equations(program.jaxpr) if e.primitive.name == "dot_general"]
    assert all(v.aval.dtype == jnp.bfloat16 for e in products for v in e.invars if v.aval.ndim > 3)
