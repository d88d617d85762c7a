"""Loops over blocks: which blocks share one, and that they compute what blocks in a row do."""

import re
from functools import partial

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from plain_tower import error, random_like

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.stack import EncoderLayers
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.adapter import Adapter, TowerCall
from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.models.methods.mean_pool import MeanPoolConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.optimizer import join_params, split_params
from mdmf_jax.weights.pretrained import Pretrained

BLOCKS, FRAMES = 6, 3
VISION = VisionConfig(8, 16, BLOCKS, 2, image_size=16, patch_size=8)
CLIP = CLIPConfig(VISION, TextConfig(8, 16, 1, 2, vocab_size=20), 6)
ROWS = np.random.default_rng(1).normal(size=(2 * FRAMES, 5, 8)).astype(np.float32)
CALL = TowerCall(FRAMES)
LOOPS = {"remat": True, "scan": True}


class Bottleneck(Adapter):
    rank: int = 2

    @nn.compact
    def after_block(self, x, context):
        inner = nn.gelu(nn.Dense(self.rank)(x) + context.block / 4)
        return x + nn.Dense(x.shape[-1])(inner + inner[:, ::-1])


def everywhere(rank):
    return {index: partial(Bottleneck, rank) for index in range(BLOCKS)}


# Adapters by block, breaks, kept tokens, and the groups.
CASES = {
    "no adapters": ({}, (), (), [[0, 1, 2, 3, 4], [5]]),
    "some": ({2: Bottleneck, 3: Bottleneck}, (), (), [[0, 1], [2, 3], [4], [5]]),
    "alike": (everywhere(3), (), (), [[0, 1, 2, 3, 4], [5]]),
    "two sizes": (
        everywhere(3) | {index: partial(Bottleneck, 2) for index in range(3)},
        (),
        (),
        [[0, 1, 2], [3, 4], [5]],
    ),
    "breaks": ({}, (1, 3), (), [[0], [1, 2], [3, 4], [5]]),
    "kept": ({5: Bottleneck}, (), (0, 2, 6), [[0, 1], [2, 3, 4], [5]]),
}


def stack(case, **options):
    adapters, breaks, keep, _ = CASES[case]
    return EncoderLayers(VISION, adapter_of=adapters.get, breaks=breaks, keep=keep, **options)


def shapes_of(layers, rows=ROWS):
    return jax.eval_shape(partial(layers.init, x=rows, call=CALL), jax.random.key(0))["params"]


def assert_equal_gradients(one, other):
    one, other = (flatten_dict(tree, sep="/") for tree in (one, other))
    assert one.keys() == other.keys()
    for path in one:
        # All keys shifted alike change no attention weight: that gradient is nothing but rounding.
        if not path.endswith("k_proj/bias"):
            assert error(one[path], other[path]) < 1e-4, path


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def loops_in(function, *arguments):
    """Lengths of the loops in a program."""
    program = jax.make_jaxpr(function)(*arguments)
    found = equations(program.jaxpr)
    return [e.params["length"] for e in found if e.primitive.name == "scan"]


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=[pytest.mark.slow] * (n != "two sizes")) for n in CASES]
)
def test_loops_compute_what_blocks_in_a_row_do(case):
    groups, keep = CASES[case][3], CASES[case][2]
    shapes = shapes_of(stack(case))
    params, found = random_like(shapes), []
    for options in ({}, LOOPS):
        layers = stack(case, **options)
        assert jax.tree.structure(shapes_of(layers)) == jax.tree.structure(shapes)

        def run(params, layers=layers):
            x, kept = layers.apply({"params": params}, ROWS, None, CALL)
            return (x**2).sum() + sum((y**3).sum() for y in kept.values()), (x, kept)

        expected = [len(group) for group in groups if len(group) > 1] if options else []
        assert loops_in(run, params) == expected
        gradient, outputs = jax.jit(jax.grad(run, has_aux=True))(params)
        assert set(outputs[1]) == set(keep)
        found.append((outputs, gradient))
    assert stack(case)._groups() == groups
    (outputs, gradient), (others, other_gradient) = found
    for one, other in zip(*map(jax.tree.leaves, (outputs, others)), strict=True):
        assert error(other, one) < 1e-5
    assert_equal_gradients(other_gradient, gradient)


class Marks(Adapter):
    """Adds 2^block to each value that dropout keeps."""

    @nn.compact
    def after_block(self, x, context):
        kept = Dropout(0.5)(jnp.ones(x.shape), train=context.train) > 0
        return x + kept * 2.0**context.block


@pytest.mark.parametrize("options", [{}, LOOPS], ids=["unrolled", "loops"])
def test_each_block_of_a_loop_draws_its_own_dropout(options):
    layers = EncoderLayers(VISION, adapter_of=lambda index: Marks, streams=("dropout",), **options)
    rows = jnp.zeros((4 * FRAMES, 16, 8))
    # Where all parameters are zero, a block is its shortcut.
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes_of(layers, rows))

    @partial(jax.jit, static_argnames="train")
    def run(seed, train=True):
        rngs = {"dropout": jax.random.key(seed)}
        call = CALL._replace(train=train)
        return layers.apply({"params": params}, rows, None, call, rngs=rngs)[0]

    sums = np.asarray(run(0), int)
    kept = (sums[..., None] >> np.arange(BLOCKS)) & 1  # [B, L, D, blocks]
    shares = kept.mean((0, 1, 2))
    assert np.abs(shares - 0.5).max() < 5 * 0.5 / np.sqrt(rows.size)
    signs = 2.0 * kept.reshape(-1, BLOCKS) - 1
    agreement = signs.T @ signs / rows.size - np.eye(BLOCKS)
    assert np.abs(agreement).max() < 5 / np.sqrt(rows.size)  # independent of each other
    assert len(np.unique(kept.reshape(len(rows), -1), axis=0)) == len(rows)
    np.testing.assert_array_equal(run(0), sums)
    other = np.asarray(run(1), int)
    assert all(((other ^ sums) >> index & 1).mean() > 0.4 for index in range(BLOCKS))
    np.testing.assert_array_equal(run(0, train=False), 2**BLOCKS - 1)


@pytest.fixture(scope="module")
def tower():
    pixels = jnp.zeros((1, 16, 16, 3))
    return random_like(jax.eval_shape(CLIPVision(CLIP).init, jax.random.key(0), pixels)["params"])


FREEZE = {
    "nothing": (),
    "the first blocks": ("embeddings", "pre_layrnorm", r"layers/[012]/"),
    "all but LayerNorms": (r"embeddings|attn|mlp|proj",),
    "all but the biases of two blocks": (r"embeddings|norm|projection|kernel|layers/[0145]/",),
}
BREAKS = {
    "nothing": ((), [5, 5]),
    "the first blocks": ((3,), [3, 2, 2]),
    "all but LayerNorms": ((), [5, 5]),
    "all but the biases of two blocks": ((2, 4), [2, 2, 2]),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "the first blocks")) for n in FREEZE]
)
def test_a_partly_frozen_tower_has_loops_that_are_wholly_trained_or_not(name, tower):
    freeze, (breaks, loops) = FREEZE[name], BREAKS[name]
    settings = ModelSettings("mean_pool", MeanPoolConfig(), "clip", CLIPOptions(), FRAMES)
    gradients = []
    for remat in (True, False):
        model = FewShotModel(
            settings,
            Pretrained(CLIP, tower, None),
            remat=remat,
            trained=lambda path: not any(re.search(pattern, path) for pattern in freeze),
        )
        assert model.encoder.breaks == (breaks if remat else ())
        params = jax.tree.map(jnp.asarray, {"encoder": tower})
        trained, frozen = split_params(params, freeze)
        videos = np.random.default_rng(0).integers(0, 256, (2, FRAMES, 16, 16, 3), np.uint8)

        def loss(trained, frozen=frozen, model=model, videos=videos):
            whole = join_params(trained, frozen)
            return (model.encode(whole, {"rgb": videos})["frames"] ** 2).sum()

        # The blocks before the first that is trained are not differentiated, so they have no
        # loop of the backward pass.
        assert loops_in(jax.grad(loss), trained) == (loops if remat else [])
        gradients.append(jax.jit(jax.grad(loss))(trained))
    assert_equal_gradients(*gradients)
