"""Which tuples are compared, the three kinds of logits, and their losses.

The numbers are checked against the published code in tests/parity.
"""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from mdmf_jax.models.layers.tuple_matcher import TupleMatcher, TupleOptions
from mdmf_jax.models.layers.tuples import TupleProjection
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig
from mdmf_jax.models.methods.segment_transformer import SegmentTransformer, SegmentTransformerConfig
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.tuples import frame_tuples, spread_tuples

SMALL = TupleOptions(levels=(1, 3), counts=(5, 2), width=8, dropout=0.0)
LABELS = np.array([0, 1, 2, 0])


@pytest.fixture(scope="module")
def params(small_episode):
    return jax.jit(SegmentTransformer(tuples=SMALL).init)(
        jax.random.key(0), *small_episode.features
    )


def features(inputs):
    support, query, prompts = inputs
    return {"frames": support}, {"frames": query}, prompts


@partial(jax.jit, static_argnames=("tuples", "reduction"))
def run(params, tuples, inputs, reduction="mean"):
    method = SegmentTransformer(SegmentTransformerConfig(reduction), tuples)
    return method.apply(params, *features(inputs), query_labels=LABELS)


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def train(params, inputs, key):
    """((loss, logits), gradient) in training."""
    output = SegmentTransformer(tuples=SMALL).apply(
        params, *features(inputs), query_labels=LABELS, train=True, rngs={"tuples": key}
    )
    return output.losses["total"], output.logits


def test_a_layer_on_tuples_is_one_on_concatenated_frames():
    frames = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)
    layer = TupleProjection(3)
    for tuples in (frame_tuples(6, 2)[:4], frame_tuples(6, 2)):  # fewer and more than frames
        params = layer.init(jax.random.key(1), frames, tuples)["params"]
        joined = frames[:, tuples].reshape(2, len(tuples), -1)
        expected = joined @ params["kernel"].reshape(8, 3) + params["bias"]
        np.testing.assert_allclose(
            layer.apply({"params": params}, frames, tuples), expected, rtol=1e-4, atol=1e-5
        )


def test_training_draws_the_same_tuples_for_all_videos(params, small_episode):
    # A query that is also a class's only support (given twice) differs from it by nothing, if
    # both have the same tuples and a token finds itself: that distance is the smallest.
    support, _, prompts = small_episode
    inputs = 20 * support[:, [0, 0]], 20 * support[[0, 1, 2, 0], 0], prompts
    logits = [train(params, inputs, jax.random.key(seed))[0][1] for seed in range(4)]
    for drawn in logits:
        np.testing.assert_array_equal(drawn.argmax(-1), LABELS)
    assert len({float(drawn[0, 1]) for drawn in logits}) > 1


@pytest.mark.parametrize("at_test", ["fixed", "complete"])
def test_tuples_at_test(at_test, params):
    matcher = TupleMatcher(replace(SMALL, at_test=at_test))
    chosen = matcher.apply({"params": params["params"]["matcher"]}, 5, method="choose")
    expected = {"fixed": spread_tuples(5, 3, 2), "complete": frame_tuples(5, 3)}[at_test]
    np.testing.assert_array_equal(chosen[0], np.arange(5)[:, None])
    np.testing.assert_array_equal(chosen[1], expected)


def test_weights_choose_the_answer_and_the_loss(params, small_episode):
    kinds = run(params, SMALL, small_episode).diagnostics
    l2, transport, fused = (kinds[f"{k}_logits"] for k in ("l2", "transport", "fusion"))
    np.testing.assert_allclose(fused, 5 * l2 / 8 + 5 * transport / 8**0.5, rtol=1e-5)
    weights = replace(SMALL, l2_weight=0.5, transport_weight=2.0, fusion_weight=0.0)
    output = run(params, weights, small_episode, reduction="sum")
    np.testing.assert_allclose(output.logits, 0.5 * l2 + 2 * transport, rtol=1e-5)
    total = 0.5 * cross_entropy(l2, LABELS, "sum") + 2 * cross_entropy(transport, LABELS, "sum")
    np.testing.assert_allclose(output.losses["total"], total, rtol=1e-5)
    assert set(output.losses) == {"l2", "transport", "cross_entropy", "total"}


def test_the_fusion_trains_everything(params, small_episode):
    _, gradient = train(params, small_episode, jax.random.key(0))
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradient))


def test_views_of_mdmf_have_their_own_tuples(small_episode):
    options = MDMFConfig(heads=2, hidden=8, matcher="tuples", tcn_dropout=0.0)
    method = MDMF(options, replace(SMALL, fusion_weight=0.0, l2_weight=1.0))
    rngs = {name: jax.random.key(1) for name in ("params", "dropout", "prompt", "tuples")}
    shapes = jax.eval_shape(method.init, rngs, *small_episode.features)["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape, np.float32), shapes)

    @jax.jit
    def train(params):
        output = method.apply({"params": params}, *small_episode.features, train=True, rngs=rngs)
        return output.logits, output.diagnostics

    logits, before = train(params)
    np.testing.assert_allclose(logits, -before["local_distance"] - before["global_distance"])
    values = params["local_matcher"]["values_1"]
    values["kernel"] = 2 * values["kernel"]
    after = train(params)[1]
    assert not np.allclose(after["local_distance"], before["local_distance"], rtol=1e-3)
    np.testing.assert_allclose(after["global_distance"], before["global_distance"])
