"""What methods share, and each baseline against a plain version in NumPy.

The numbers of OTAM, mean pooling and TRX are also checked against the published code in
tests/parity.
"""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.models.layers.tuple_matcher import TupleOptions
from mdmf_jax.models.methods.cross_transformer import CrossTransformer, CrossTransformerConfig
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig
from mdmf_jax.models.methods.mean_pool import MeanPool, MeanPoolConfig
from mdmf_jax.models.methods.otam import OTAM
from mdmf_jax.models.methods.segment_transformer import SegmentTransformer
from mdmf_jax.models.methods.trx import TRX, TRXConfig
from mdmf_jax.models.methods.zero_shot import ZeroShot
from mdmf_jax.ops.alignment import otam_distance

TUPLES = TupleOptions(levels=(1, 2), counts=(3, 2), width=8)
METHODS = {
    "cross_transformer": CrossTransformer(CrossTransformerConfig(width=8, scale=3.0)),
    "mdmf": MDMF(
        MDMFConfig(heads=2, hidden=8, matcher="tuples", views="local", frames_kept=2), TUPLES
    ),
    "mean_pool": MeanPool(),
    "mean_pool_squared": MeanPool(MeanPoolConfig(metric="squared")),
    "otam": OTAM(),
    "segment_transformer": SegmentTransformer(tuples=TUPLES),
    "trx": TRX(TRXConfig(cardinalities=(1, 3), width=8)),
    "zero_shot": ZeroShot(),
}
WITHOUT_PARAMETERS = {"mean_pool", "mean_pool_squared", "otam", "zero_shot"}
ALL_SHOTS = np.ones((3, 2), bool)


@pytest.fixture(scope="module")
def variables(small_episode):
    """Random parameters of each method; LayerNorms and biases too."""
    rng = np.random.default_rng(1)

    def noise(leaf):
        return 0.4 * rng.standard_normal(leaf.shape, np.float32)

    return {
        name: jax.tree.map(
            noise, jax.eval_shape(method.init, jax.random.key(0), *small_episode.features)
        )
        for name, method in METHODS.items()
    }


def whole_and_staged(method, variables, support, query, prompts, mask):
    """Logits of the whole method, and of its stages, run for each shot alone."""
    asked = {"frames": query}
    whole = method.apply(variables, {"frames": support}, asked, prompts, support_mask=mask)
    run, texts = method.bind(variables), None
    if run.chooses_prompts:
        texts = prompts[run.choose_prompts(run.class_text_logits(asked, prompts))[0]]
    shots = [
        run.encode_support({"frames": support[:, shot]}, prompts)
        for shot in range(support.shape[1])
    ]
    supports = jax.tree.map(lambda *arrays: jnp.stack(arrays, 1), *shots)
    queries = run.encode_query(asked, texts)
    return whole.logits, run.match(supports, queries, prompts, support_mask=mask)[0]


@pytest.fixture(scope="module")
def both(variables):
    """`whole_and_staged` of a method by its name; compiled once for each method."""
    jitted = jax.jit(whole_and_staged, static_argnums=0)

    def run(name, *inputs, mask=ALL_SHOTS):
        return jax.tree.map(np.asarray, jitted(METHODS[name], variables[name], *inputs, mask))

    return run


@pytest.fixture(scope="module")
def answer(both):
    """Logits [Q, W] of a method, by its name."""
    return lambda *args, **options: both(*args, **options)[0]


@pytest.mark.parametrize("name", METHODS)
def test_order_of_classes_only_permutes_the_logits(name, answer, small_episode):
    support, query, prompts = small_episode
    order = np.array([2, 0, 1])
    expected = answer(name, support, query, prompts)[:, order]
    ours = answer(name, support[order], query, prompts[order])
    np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-4)
    assert np.ptp(expected, axis=1).min() > 1e-4  # the classes get different logits


@pytest.mark.parametrize("name", METHODS)
def test_masked_shots_are_as_if_they_were_not_there(name, answer, small_episode):
    support, query, prompts = small_episode
    spoilt = support.copy()
    spoilt[:, 1] += 3
    # The same video twice is the same as once, to means and to attention.
    once = answer(name, support[:, [0, 0]], query, prompts)
    twice = answer(name, spoilt, query, prompts)
    mask = np.array([[True, True], [True, False], [True, True]])
    masked = answer(name, spoilt, query, prompts, mask=mask)
    np.testing.assert_allclose(masked[:, 1], once[:, 1], rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(masked[:, [0, 2]], twice[:, [0, 2]], rtol=2e-4, atol=2e-4)
    assert name == "zero_shot" or not np.allclose(once, twice, rtol=1e-2)


@pytest.mark.parametrize("name", METHODS)
def test_stages_one_after_the_other_are_the_whole(name, both, small_episode):
    whole, staged = both(name, *small_episode)
    np.testing.assert_allclose(staged, whole, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_methods_without_parameters(name, variables):
    assert (not jax.tree.leaves(variables[name])) == (name in WITHOUT_PARAMETERS)


def test_otam_is_the_mean_over_the_videos(answer, small_episode):
    support, query, prompts = small_episode
    shots = [otam_distance(query, support[:, shot], 0.1) for shot in range(2)]
    np.testing.assert_allclose(answer("otam", *small_episode), -np.mean(shots, 0), rtol=1e-5)


def test_mean_pooling_and_zero_shot_ignore_the_order_of_frames(answer, small_episode):
    support, query, prompts = small_episode
    for name in ("mean_pool", "mean_pool_squared", "zero_shot"):
        turned = answer(name, support[:, :, ::-1], query[:, ::-1], prompts)
        np.testing.assert_allclose(turned, answer(name, *small_episode), rtol=1e-5, atol=1e-5)


def test_mean_pooling(answer, small_episode):
    support, query, _ = small_episode
    means, query = support.mean(2), query.mean(1)
    norms = np.linalg.norm(query, axis=-1)[:, None, None] * np.linalg.norm(means, axis=-1)
    cosines = np.einsum("qd,wkd->qwk", query, means) / (norms + 0.01)
    np.testing.assert_allclose(answer("mean_pool", *small_episode), cosines.mean(-1), rtol=1e-5)
    squared = ((query[:, None] - means.mean(1)) ** 2).sum(-1)
    np.testing.assert_allclose(answer("mean_pool_squared", *small_episode), -squared, rtol=1e-5)


def test_zero_shot_needs_no_supports(small_episode):
    _, query, prompts = small_episode
    video, text = (x / np.linalg.norm(x, axis=-1)[:, None] for x in (query.mean(1), prompts))
    ours = ZeroShot().apply({}, None, {"frames": query}, prompts).logits
    np.testing.assert_allclose(ours, 100 * video @ text.T, rtol=1e-4)


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def test_cross_transformer(answer, variables, small_episode):
    support, query, prompts = small_episode
    params = variables["cross_transformer"]["params"]
    to_key, to_value = (np.asarray(params[name]["kernel"]) for name in ("keys", "values"))
    expected = np.zeros((len(query), len(support)))
    for q, video in enumerate(query):
        for w, shots in enumerate(support):
            frames = shots.reshape(-1, shots.shape[-1])
            for frame in video:
                weights = softmax(frames @ to_key @ (frame @ to_key) / 8**0.5)
                offered, value = weights @ (frames @ to_value), frame @ to_value
                cosine = offered @ value / np.linalg.norm(offered) / np.linalg.norm(value)
                expected[q, w] += 3 * cosine / len(video)
    ours = answer("cross_transformer", *small_episode)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def tuple_tokens(params, index, video, size):
    """Keys and values of all tuples of one video, with its positions added."""
    features = video.shape[-1]
    pairs = np.arange(features) // 2 * 2
    angles = np.arange(len(video))[:, None] / 10000 ** (pairs / features)
    video = video + 0.1 * np.where(np.arange(features) % 2, np.cos(angles), np.sin(angles))
    joined = np.stack([np.concatenate(t) for t in combinations(video, size)])
    keys, values = (
        joined @ np.asarray(layer["kernel"]).reshape(size * features, -1) + layer["bias"]
        for layer in (params[f"keys_{index}"], params[f"values_{index}"])
    )
    norm = params[f"norms_{index}"]
    centred = keys - keys.mean(-1, keepdims=True)
    keys = centred / np.sqrt(keys.var(-1, keepdims=True) + 1e-5) * norm["scale"] + norm["bias"]
    return keys, values


def test_trx(answer, variables, small_episode):
    support, query, prompts = small_episode
    params, logits = variables["trx"]["params"], np.zeros((len(query), len(support)))
    for index, size in enumerate((1, 3)):
        for w, shots in enumerate(support):
            keys, values = (
                np.concatenate(tokens)
                for tokens in zip(
                    *(tuple_tokens(params, index, shot, size) for shot in shots), strict=True
                )
            )
            for q, video in enumerate(query):
                own = list(zip(*tuple_tokens(params, index, video, size), strict=True))
                distances = [
                    ((value - softmax(keys @ key / 8**0.5) @ values) ** 2).sum()
                    for key, value in own
                ]
                logits[q, w] -= np.mean(distances) / 2
    np.testing.assert_allclose(answer("trx", *small_episode), logits, rtol=1e-4)
