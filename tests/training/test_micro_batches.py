"""Pieces of a batch, divided parameters, meshes: always the same step."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.training.micro_batches import mean_over_pieces, pieces_of
from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh, over_episodes
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import make_train_step

pytestmark = pytest.mark.devices


WIDE = (128, 256)  # a head whose kernel is large enough to be divided; its corner is used


class Trainer:
    """A new state, the jitted step and its compiled program for 16 episodes."""

    def __init__(self, stand, mesh=(1, 1), micro_batch=0, divide=False, freeze=()):
        model = stand.model(shape=WIDE)
        devices = jax.devices()[: mesh[0] * mesh[1]]
        self.mesh = device_mesh(16, mesh[1], devices)
        optimizer = make_optimizer(1e-2)
        maker = StateMaker(
            model.init, model.start, optimizer, freeze=freeze, mesh=self.mesh, divide=divide
        )
        self.step = make_train_step(
            model,
            optimizer,
            freeze=freeze,
            mesh=self.mesh,
            shardings=maker.shardings,
            micro_batch=micro_batch,
        )
        self.texts = jax.tree.map(jnp.asarray, stand.texts)
        self.state = maker(jax.random.key(0))

    def arguments(self, batch):
        spread = {name: jax.device_put(x, over_episodes(self.mesh)) for name, x in batch.items()}
        return self.state, spread, self.texts, jax.random.key(7)

    def __call__(self, batch):
        self.state, metrics = self.step(*self.arguments(batch))
        return metrics


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@cache
def of_one_device(stand):
    trainer = Trainer(stand)
    metrics = [trainer(stand.batch(episodes=16, seed=seed)) for seed in range(2)]
    return leaves((metrics, trainer.state))


@pytest.mark.parametrize(
    ("mesh", "options"),
    [
        ((1, 1), {"micro_batch": 4}),
        ((8, 1), {}),
        ((4, 2), {"micro_batch": 2}),
        ((2, 4), {"micro_batch": 1, "divide": True}),
        ((8, 1), {"divide": True}),
    ],
)
def test_every_layout_gives_the_step_of_one_device(stand, mesh, options):
    trainer = Trainer(stand, mesh, **options)
    metrics = [trainer(stand.batch(episodes=16, seed=seed)) for seed in range(2)]
    expected = of_one_device(stand)
    for ours, theirs in zip(leaves((metrics, trainer.state)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert trainer.step._cache_size() == 1  # compiled once
    kernel = trainer.state.params["head"]["fc1"]["kernel"]
    rows, columns = kernel.addressable_shards[0].data.shape
    parts = mesh[0] if options.get("divide") else 1
    assert (rows, columns) == (128 // parts, 256 // mesh[1])
    moments = [x for x in jax.tree.leaves(trainer.state.opt_state) if x.shape == (128, 256)]
    assert [x.sharding for x in moments] == 2 * [kernel.sharding]


def test_no_collective_moves_frames(stand):
    trainer = Trainer(stand, (4, 2), micro_batch=2)
    compiled = trainer.step.lower(*trainer.arguments(stand.batch(episodes=16))).compile()
    moves = re.findall(
        r"= (\(?\S+?) (all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter)\S*\(",
        compiled.as_text(),
    )
    assert moves  # the gradients are summed over devices
    for shape, name in moves:
        assert "u8[" not in shape, name
        sizes = [int(size) for size in re.findall(r"\[[\d,]*?(\d+)\]", shape)]
        assert 12 not in sizes, (shape, name)  # pixels of a frame, flat


@pytest.mark.parametrize(
    ("episodes", "devices", "at_once", "pieces"),
    [(16, 1, 0, 1), (16, 1, 1, 16), (16, 4, 3, 2), (16, 8, 5, 1), (12, 2, 4, 2), (7, 1, 3, 7)],
)
def test_pieces(episodes, devices, at_once, pieces):
    assert pieces_of(episodes, devices, at_once) == pieces


def test_pieces_take_episodes_of_every_device():
    mesh = device_mesh(8, 1, jax.devices()[:2])

    def first_and_mean(piece):
        return {"each": piece * 1.0, "mean": piece.mean()}

    run = jax.jit(lambda x: mean_over_pieces(first_and_mean, x, 2, mesh))
    found = run(jax.device_put(jnp.arange(8), over_episodes(mesh)))
    # Pieces {0, 1, 4, 5} and {2, 3, 6, 7}: the devices hold 0..3 and 4..7.
    np.testing.assert_array_equal(found["each"], [1, 2, 5, 6])
    assert found["mean"] == 3.5
