"""Memory of a full-size training step, from the compiled program; nothing is run."""

import jax
import jax.numpy as jnp
import pytest

from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.mdmf import MDMF
from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh, over_episodes, replicated
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import make_train_step

WAY, SHOT, QUERIES, FRAMES, SIDE, WIDTH, CLASSES = 5, 5, 25, 8, 224, 512, 31


def abstract_batch(episodes, sharding):
    shapes = {
        "support": ((WAY, SHOT, FRAMES, SIDE, SIDE, 3), jnp.uint8),
        "query": ((QUERIES, FRAMES, SIDE, SIDE, 3), jnp.uint8),
        "query_labels": ((QUERIES,), jnp.int32),
        "class_ids": ((WAY,), jnp.int32),
    }
    return {
        name: jax.ShapeDtypeStruct((episodes, *shape), dtype, sharding=sharding)
        for name, (shape, dtype) in shapes.items()
    }


def vit_b16_step(episodes, remat=True, scan=True):
    """Compiles the step: ViT-B/16 trained, CLIP-MDMF, one episode at once."""
    vision, method = CLIPVision(published_config("vit_b16"), remat=remat, scan=scan), MDMF()
    pixels = jnp.zeros((1, SIDE, SIDE, 3))
    encoder = jax.eval_shape(vision.init, jax.random.key(0), pixels)["params"]
    mesh = device_mesh(episodes, devices=jax.devices()[:1])
    optimizer = make_optimizer(1e-5)

    def encode(params, frames):
        return vision.apply({"params": params}, normalise(frames, "clip"))

    def head(params, *args, rngs, **options):
        return method.apply({"params": params}, *args, rngs=rngs, **options)

    def init_head(key):
        support = jnp.zeros((2, 1, FRAMES, WIDTH))
        return method.init(key, support, support[:, 0], support[:, 0, 0])["params"]

    maker = StateMaker(init_head, encoder, optimizer, freeze=(), mesh=mesh)
    step = make_train_step(
        encode,
        head,
        optimizer,
        freeze=(),
        mesh=mesh,
        shardings=maker.shardings,
        micro_batch=1,
    )
    whole = replicated(mesh)
    table = jax.ShapeDtypeStruct((CLASSES, WIDTH), jnp.float32, sharding=whole)
    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = abstract_batch(episodes, over_episodes(mesh))
    # Buffers are decided on before code is made of them, so that fast code is not needed.
    options = {"xla_backend_optimization_level": 0}
    lowered = step.lower(maker.abstract, batch, table, key)
    return lowered.compile(compiler_options=options).memory_analysis()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_episodes():
    one, many = vit_b16_step(1), vit_b16_step(16)
    frames = WAY * SHOT * FRAMES + QUERIES * FRAMES
    pixels = frames * SIDE * SIDE * 3
    grown = many.argument_size_in_bytes - one.argument_size_in_bytes
    assert 15 * pixels <= grown < 15.01 * pixels  # the frames themselves, as bytes
    assert many.temp_size_in_bytes < 1.1 * one.temp_size_in_bytes
