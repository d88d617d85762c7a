"""CLIP-MDMF's options; its numbers are checked against the published code in tests/parity."""

from dataclasses import replace
from functools import cache, partial

import jax
import numpy as np
import pytest

from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig

SMALL = MDMFConfig(heads=2, hidden=16)
WAY, SHOT, QUERIES, FEATURES = 3, 2, 6, 8
LABELS = np.arange(QUERIES) % WAY


def episode(frames=8, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((WAY, SHOT, frames, FEATURES), (QUERIES, frames, FEATURES), (WAY, FEATURES))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def features(inputs):
    support, query, prompts = inputs
    return {"frames": support}, {"frames": query}, prompts


@partial(jax.jit, static_argnames=("config", "train"))
def apply(config, params, inputs, rngs, train, **options):
    return MDMF(config).apply(
        params, *features(inputs), query_labels=LABELS, rngs=rngs, train=train, **options
    )


def run(config=SMALL, inputs=None, params=None, rngs=None, train=False, **options):
    """One jitted call; compiled once for each config and set of options."""
    return apply(config, params or new_params(), inputs or episode(), rngs, train, **options)


@cache
def new_params():
    key = jax.random.key(0)
    return jax.jit(MDMF(SMALL).init)({"params": key, "prompt": key}, *features(episode()))


@pytest.mark.parametrize("frames", [1, 3, 8, 12])
def test_any_number_of_frames(frames):
    output = run(inputs=episode(frames))
    assert output.logits.shape == (QUERIES, WAY)
    assert np.isfinite(output.losses["total"])


def test_logits_are_the_negative_sum_of_both_distances():
    output = run()
    d = output.diagnostics
    np.testing.assert_allclose(output.logits, -d["local_distance"] - d["global_distance"])


def test_order_of_classes_only_permutes_the_logits():
    support, query, prompts = episode()
    order = np.array([2, 0, 1])
    straight = run()
    permuted = run(inputs=[support[order], query, prompts[order]])
    np.testing.assert_allclose(permuted.logits, straight.logits[:, order], rtol=1e-4, atol=1e-4)


def test_given_prompts_replace_the_choice_of_pps():
    free = run()
    own = run(prompt_choice=free.diagnostics["prompt_choice"])
    np.testing.assert_allclose(own.logits, free.logits, rtol=1e-5)
    other = run(prompt_choice=(free.diagnostics["prompt_choice"] + 1) % WAY)
    assert not np.allclose(other.logits, free.logits)


def test_without_pps_the_prompt_does_not_matter():
    logits = [
        run(replace(SMALL, pps=False), prompt_choice=np.full(QUERIES, choice)).logits
        for choice in range(2)
    ]
    np.testing.assert_array_equal(*logits)


def test_prompts_are_drawn_in_training_and_by_arg_max_at_test():
    support, query, prompts = episode()
    inputs = [support, query, prompts * 1e-4]  # nearly equal agreement: all prompts likely

    def choices(config, train, seed):
        rngs = {name: jax.random.key(seed) for name in ("prompt", "dropout")}
        output = run(config, inputs, rngs=rngs, train=train)
        return tuple(np.asarray(output.diagnostics["prompt_choice"]))

    drawn = {choices(SMALL, True, seed) for seed in range(4)}
    sampled = {choices(replace(SMALL, pps_at_test="sample"), False, seed) for seed in range(4)}
    fixed = {choices(SMALL, False, seed) for seed in range(4)}
    assert len(drawn) > 1 and len(sampled) > 1 and len(fixed) == 1


@pytest.mark.parametrize(
    "views, used, unused",
    [
        ("local", {"local_context", "local_fusion"}, {"global_context", "global_fusion"}),
        ("global", {"global_context", "global_fusion"}, {"local_context", "local_fusion"}),
        ("neither", {"local_fusion"}, {"local_context", "global_context", "global_fusion"}),
        ("both", {"local_context", "local_fusion", "global_context", "global_fusion"}, set()),
    ],
)
def test_views_use_their_own_parameters_only(views, used, unused):
    def loss(params):
        return run(replace(SMALL, views=views), params={"params": params}).losses["total"]

    gradient = jax.grad(loss)(new_params()["params"])
    moved = {name for name in used | unused if any(map(np.any, jax.tree.leaves(gradient[name])))}
    assert moved == used


def test_published_direction_names_keep_their_published_meaning():
    losses = {
        direction: run(replace(SMALL, direction=direction)).losses["distillation"]
        for direction in ("both", "bid", "up2down", "global_to_local", "down2up", "local_to_global")
    }
    assert losses["bid"] == losses["both"]
    assert losses["up2down"] == losses["global_to_local"]
    assert losses["down2up"] == losses["local_to_global"]
    assert losses["up2down"] != losses["down2up"]


def test_total_is_the_weighted_sum():
    config = replace(SMALL, class_weight=0.5, query_weight=2.0, distill_weight=3.0)
    table = np.random.default_rng(3).standard_normal((7, FEATURES)).astype(np.float32)
    losses = run(config, class_ids=np.array([4, 0, 6]), class_texts=table).losses
    expected = 0.5 * losses["class"] + 2 * losses["cross_entropy"] + 3 * losses["distillation"]
    np.testing.assert_allclose(losses["total"], expected, rtol=1e-6)
    assert losses["class"] > 0


def test_text_token_changes_the_condition_only():
    by_token = [run(replace(SMALL, text_token=token)) for token in ("text", "first_frame")]
    np.testing.assert_array_equal(by_token[0].logits, by_token[1].logits)


def test_without_labels_there_are_no_losses():
    inputs = features(episode())
    assert jax.jit(MDMF(SMALL).apply)(new_params(), *inputs).losses == {}


def test_vmapped_over_episodes_equals_one_by_one():
    episodes = [episode(seed=seed) for seed in range(3)]
    together = jax.jit(
        jax.vmap(lambda *inputs: MDMF(SMALL).apply(new_params(), *features(inputs)).logits)
    )(*(np.stack(arrays) for arrays in zip(*episodes, strict=True)))
    for index, inputs in enumerate(episodes):
        alone = run(inputs=inputs).logits
        np.testing.assert_allclose(together[index], alone, rtol=1e-4, atol=1e-4)
