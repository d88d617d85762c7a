"""Memory of a full-size training step, from the compiled program; nothing is run."""

import jax
import jax.numpy as jnp
import pytest

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.mdmf import MDMFConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh, over_episodes, replicated
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import ClassTexts, make_train_step
from mdmf_jax.weights.pretrained import Pretrained

pytestmark = pytest.mark.optimised

WAY, SHOT, QUERIES, FRAMES, SIDE, WIDTH, CLASSES = 5, 5, 25, 8, 224, 512, 31


def abstract_batch(episodes, sharding):
    shapes = {
        "support": {"rgb": ((WAY, SHOT, FRAMES, SIDE, SIDE, 3), jnp.uint8)},
        "query": {"rgb": ((QUERIES, FRAMES, SIDE, SIDE, 3), jnp.uint8)},
        "query_labels": ((QUERIES,), jnp.int32),
        "class_ids": ((WAY,), jnp.int32),
    }

    def array(described):
        shape, dtype = described
        return jax.ShapeDtypeStruct((episodes, *shape), dtype, sharding=sharding)

    return jax.tree.map(array, shapes, is_leaf=lambda x: isinstance(x, tuple))


def vit_b16_model():
    """CLIP-MDMF on a ViT-B/16 whose parameters are shapes only; blocks in a loop, with remat."""
    config = published_config("vit_b16")
    pixels = jnp.zeros((1, SIDE, SIDE, 3))
    tower = jax.eval_shape(CLIPVision(config).init, jax.random.key(0), pixels)["params"]
    settings = ModelSettings("mdmf", MDMFConfig(), "clip", CLIPOptions(), FRAMES, CLASSES)
    pretrained = Pretrained(config, tower, None)
    return FewShotModel(settings, pretrained, remat=True, trained=lambda path: True)


def vit_b16_step(episodes):
    """Compiles the step: ViT-B/16 trained, CLIP-MDMF, one episode at once."""
    model, optimizer = vit_b16_model(), make_optimizer(1e-5)
    mesh = device_mesh(episodes, devices=jax.devices()[:1])
    maker = StateMaker(model.init, model.start, optimizer, freeze=(), mesh=mesh)
    step = make_train_step(
        model,
        optimizer,
        freeze=(),
        mesh=mesh,
        shardings=maker.shardings,
        micro_batch=1,
    )
    whole = replicated(mesh)
    texts = ClassTexts(jax.ShapeDtypeStruct((CLASSES, WIDTH), jnp.float32, sharding=whole))
    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = abstract_batch(episodes, over_episodes(mesh))
    # Buffers are decided on before code is made of them, so that fast code is not needed.
    options = {"xla_backend_optimization_level": 0}
    lowered = step.lower(maker.abstract, batch, texts, key)
    return lowered.compile(compiler_options=options).memory_analysis()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_episodes():
    one, many = vit_b16_step(1), vit_b16_step(16)
    frames = WAY * SHOT * FRAMES + QUERIES * FRAMES
    pixels = frames * SIDE * SIDE * 3
    grown = many.argument_size_in_bytes - one.argument_size_in_bytes
    assert 15 * pixels <= grown < 15.01 * pixels  # the frames themselves, as bytes
    assert many.temp_size_in_bytes < 1.1 * one.temp_size_in_bytes
