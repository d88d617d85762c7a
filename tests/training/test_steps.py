"""The train step: frozen parts, meshes, random numbers, and that the loss falls."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import batch_metrics, encoded, make_train_step

SEED = 7


def trainer(
    stand,
    *,
    freeze=(),
    devices=1,
    model_devices=1,
    rate=1e-2,
    encoder=None,
    max_skipped=0,
    kind="adam",
):
    """A new state, and a step that takes (state, batch)."""
    optimizer = make_optimizer(rate, kind=kind)
    mesh = device_mesh(8, model_devices, jax.devices()[:devices])
    model = stand.model(encoder) if encoder else stand.model()
    make_state = StateMaker(model.init, model.start, optimizer, freeze=freeze, mesh=mesh)
    step = make_train_step(
        model,
        optimizer,
        freeze=freeze,
        mesh=mesh,
        shardings=make_state.shardings,
        max_skipped=max_skipped,
    )
    key = jax.random.key(SEED)
    return make_state(jax.random.key(0)), lambda s, b: step(s, b, stand.texts, key)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_features_go_back_to_their_videos(stand):
    batch = stand.batch(episodes=2, queries=1)
    seen = []

    def encode(params, frames):
        seen.append(frames.shape)
        return frames.reshape(frames.shape[0], -1)[:, :2] * 1.0

    model, keys = stand.model(stand.encoder_with(encode)), jax.random.split(jax.random.key(SEED), 2)
    seen.clear()
    params = {"encoder": {"visual_projection": {"kernel": jnp.ones((12, 8))}}}
    found = encoded(model, params, batch, keys)
    assert seen == [(2 * (3 * 2 + 3) * 4, 2, 2, 3)]
    for name in ("support", "query"):
        assert set(found[name]) == {"frames"}
        expected = batch[name]["rgb"][..., 0, 0, :2]
        np.testing.assert_array_equal(found[name]["frames"], expected)
    again = encoded(model, params, found, keys)  # features stay as they are
    assert again["support"] is found["support"] and len(seen) == 1


def test_metrics_are_means_over_episodes(stand):
    batch, model = stand.batch(episodes=3), stand.model()
    params = model.init(jax.random.key(0))
    keys, texts = jax.random.split(jax.random.key(SEED), 3), jax.tree.map(jnp.asarray, stand.texts)
    metrics = batch_metrics(model, params, batch, texts, keys, jax.random.key(SEED))

    totals, hits, prompts = [], [], []
    for e in range(3):
        dropout, prompt = jax.random.split(keys[e])
        support, query = (
            np.stack([stand.encode(params["encoder"], clip) for clip in videos])
            for videos in (
                batch["support"]["rgb"][e].reshape(6, 4, 2, 2, 3),
                batch["query"]["rgb"][e],
            )
        )
        output = model.method.apply(
            {"params": params["head"]},
            {"frames": support.reshape(3, 2, 4, -1)},
            {"frames": query},
            texts.features[batch["class_ids"][e]],
            query_labels=batch["query_labels"][e],
            train=True,
            rngs={"dropout": dropout, "prompt": prompt},
        )
        totals.append(output.losses["total"])
        hits.append(np.argmax(output.logits, -1) == batch["query_labels"][e])
        prompts.append(output.diagnostics["prompt_choice"] == batch["query_labels"][e])
    np.testing.assert_allclose(metrics["loss"], np.mean(totals), rtol=1e-5)
    np.testing.assert_allclose(metrics["cross_entropy"], np.mean(totals) / 2, rtol=1e-5)
    assert metrics["accuracy"] == np.mean(hits, dtype=np.float32)
    assert metrics["prompt_accuracy"] == np.mean(prompts, dtype=np.float32)


@pytest.mark.parametrize("freeze", [(), ("^encoder/",)])
def test_norms_are_those_of_the_trained_parameters_and_their_gradient(stand, freeze):
    batch, rate = stand.batch(episodes=8), 0.5
    state, step = trainer(stand, freeze=freeze, rate=rate, kind="sgd")
    head, encoder = leaves(state.params["head"]), leaves(state.params["encoder"])
    trained = head if freeze else head + encoder
    state, metrics = step(state, batch)
    after = leaves(state.params["head"]) + leaves(state.params["encoder"])[: len(trained) - 1]

    def norm(arrays):
        return np.sqrt(sum((np.asarray(x, np.float64) ** 2).sum() for x in arrays))

    assert metrics["parameter_norm"].dtype == metrics["gradient_norm"].dtype == np.float32
    np.testing.assert_allclose(metrics["parameter_norm"], norm(trained), rtol=1e-5)
    # A step of plain gradient descent is the gradient times the rate.
    moved = [(old - new) / rate for old, new in zip(trained, after, strict=True)]
    np.testing.assert_allclose(metrics["gradient_norm"], norm(moved), rtol=1e-4)


def test_norms_change_no_bit_of_a_step(stand):
    """The same step without its norms, compiled again."""
    results = []
    for known in (True, False):
        state, step = trainer(stand)
        norm = optax.tree.norm if known else lambda tree: jnp.float32(0)
        with mock.patch.object(optax.tree, "norm", norm):
            for seed in range(3):
                state, metrics = step(state, stand.batch(episodes=8, seed=seed))
        assert (metrics["parameter_norm"] > 0) == known
        shown = {k: v for k, v in metrics.items() if not k.endswith("_norm")}
        results.append((state, shown))
    for one, other in zip(*map(leaves, results), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.devices
@pytest.mark.parametrize(("devices", "model_devices"), [(8, 1), (8, 2), (2, 2)])
def test_a_mesh_computes_what_one_device_does(stand, devices, model_devices):
    results = []
    for many in (False, True):
        sizes = (devices, model_devices) if many else (1, 1)
        state, step = trainer(stand, devices=sizes[0], model_devices=sizes[1])
        for seed in range(2):
            state, metrics = step(state, stand.batch(episodes=8, seed=seed))
        results.append((metrics, state))
    kernel = results[1][1].params["head"]["fc1"]["kernel"]
    assert len(kernel.sharding.device_set) == devices
    assert kernel.addressable_shards[0].data.shape == (8, 8 // model_devices)
    for one, other in zip(*map(leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("max_skipped", [0, 1])
def test_a_step_without_a_finite_loss_changes_nothing(stand, max_skipped):
    def encode(params, frames):  # Not a number for black frames.
        return stand.encode(params, frames) + 0 * jnp.log(frames.max().astype(jnp.float32))

    encoder = stand.encoder_with(encode)
    state, step = trainer(stand, encoder=encoder, max_skipped=max_skipped)
    good, bad = stand.batch(episodes=8), stand.batch(episodes=8)
    bad |= {name: jax.tree.map(np.zeros_like, bad[name]) for name in ("support", "query")}
    state, metrics = step(state, good)
    assert (metrics["updated"], metrics["skipped"]) == (True, 0)
    for count in (1, 2):
        before = leaves((state.params, state.opt_state))
        state, metrics = step(state, bad)
        assert np.isnan(metrics["loss"])
        assert (metrics["updated"], metrics["skipped"], state.step) == (False, count, count + 1)
        for old, new in zip(before, leaves((state.params, state.opt_state)), strict=True):
            np.testing.assert_array_equal(old, new)
        if count == max_skipped:  # One was allowed: training goes on.
            state, metrics = step(state.replace(step=state.step - 1), good)
            assert metrics["updated"]
    before = leaves(state.params)
    state, metrics = step(state, good)  # There were too many: nothing changes any more.
    assert (metrics["updated"], metrics["skipped"]) == (False, 2)
    for old, new in zip(before, leaves(state.params), strict=True):
        np.testing.assert_array_equal(old, new)


def test_loss_falls_on_one_batch(stand):
    state, step = trainer(stand, rate=3e-2)
    batch = stand.batch(episodes=8)
    losses = []
    for _ in range(40):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.3 * losses[0]
    assert state.step == 40


def test_random_numbers_depend_on_key_and_step(stand):
    batch = stand.batch(episodes=8)
    runs = []
    for _ in range(2):  # A rate of zero leaves only dropout and prompt draws to change.
        state, step = trainer(stand, rate=0.0)
        run = []
        for _ in range(2):
            state, metrics = step(state, batch)
            run.append(float(metrics["loss"]))
        runs.append(run)
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_frozen_encoder_is_neither_changed_nor_differentiated(stand):
    @jax.custom_vjp
    def encode(params, frames):
        return stand.encode(params, frames)

    def backward(*_):
        raise AssertionError("backward pass through a frozen encoder")

    encode.defvjp(lambda params, frames: (encode(params, frames), None), backward)
    state, step = trainer(stand, freeze=("^encoder/",), encoder=stand.encoder_with(encode))
    before = leaves(state.params)
    moments = jax.tree.leaves(state.opt_state)
    assert [leaf.shape for leaf in moments] == [(), (8, 8), (8, 8)]
    state, _ = step(state, stand.batch(episodes=8))
    encoder, kernel = leaves(state.params)
    np.testing.assert_array_equal(encoder, before[0])
    assert np.abs(kernel - before[1]).max() > 1e-3


def test_trained_encoder_is_differentiated(stand):
    state, step = trainer(stand)
    before = leaves(state.params["encoder"])[0]
    state, _ = step(state, stand.batch(episodes=8))
    assert np.abs(leaves(state.params["encoder"])[0] - before).max() > 1e-3


def test_the_state_is_consumed(stand):
    state, step = trainer(stand)
    step(state, stand.batch(episodes=8))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
