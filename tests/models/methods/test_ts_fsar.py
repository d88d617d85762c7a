"""TS-FSAR's head: inductive, any numbers of shots and queries, losses; and a model's whole life."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from whole_life import moved, save_load_and_export, train_and_resume

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.ts_fsar import TSFSAR, TSFSARConfig
from mdmf_jax.runs.train import make_run

WAY, SHOT, QUERIES, FRAMES, CLASSES = 3, 2, 4, 2, 5
SHAPES = {
    "correlation": (FRAMES, 6),
    "class_tokens": (FRAMES, 3),
    "adapted_clip": (8,),
    "side_text": (8,),
}


def features(*count, seed):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal((*count, *s)).astype(np.float32) for n, s in SHAPES.items()}


@pytest.fixture(scope="module")
def episode():
    texts = np.random.default_rng(2).standard_normal((CLASSES, 8)).astype(np.float32)
    return features(WAY, SHOT, seed=0), features(QUERIES, seed=1), texts


@pytest.fixture(scope="module")
def params(episode):
    support, query, texts = episode
    init = jax.jit(lambda key: TSFSAR().init(key, support, query, texts[:WAY], class_texts=texts))
    return init(jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def answer():
    @jax.jit
    def apply(params, support, query, texts, mask=None):
        return TSFSAR().apply({"params": params}, support, query, texts[:WAY], support_mask=mask)

    return apply


def taken(query, rows):
    return {name: x[np.asarray(rows)] for name, x in query.items()}


def test_a_query_is_answered_whatever_the_others_are(answer, episode, params):
    support, query, texts = episode
    together = answer(params, support, query, texts)
    for rows in ([2], [3, 1, 0, 2], [0, 0, 1, 2, 3, 3]):
        found = answer(params, support, taken(query, rows), texts)
        for name in ("scores", "log_fused"):
            expected = np.asarray(together.diagnostics[name])[rows]
            np.testing.assert_allclose(found.diagnostics[name], expected, rtol=1e-5, atol=1e-6)
    assert TSFSAR.inductive and not TSFSAR().independent_classes
    np.testing.assert_allclose(together.logits.sum(1), 1, rtol=1e-5)


def test_absent_shots_do_not_count(answer, episode, params):
    support, query, texts = episode
    mask = np.array([[True, False], [True, True], [True, False]])
    noisy = {
        name: np.where(mask.reshape(*mask.shape, *[1] * (x.ndim - 2)), x, 7)
        for name, x in support.items()
    }
    scores = [
        answer(params, given, query, texts, *masks).diagnostics["scores"]
        for given, masks in ((support, (mask,)), (noisy, (mask,)), (support, ()))
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5, atol=1e-6)
    assert np.abs(scores[2] - scores[0]).max() > 1e-3


def test_scores_and_fusion_by_hand(answer, episode, params):
    support, query, texts = episode
    config = TSFSARConfig()
    kernel = params["generator"]["kernel"]
    mean = support["class_tokens"].mean((0, 1, 2))
    powers = np.zeros((QUERIES, WAY))
    scores = np.zeros((QUERIES, WAY))
    for q in range(QUERIES):
        matrix = (query["class_tokens"][q].mean(0) + mean) @ kernel
        for w in range(WAY):
            prototype = support["correlation"][w].mean(0)
            for i in range(FRAMES):
                for j in range(FRAMES):
                    x, y = query["correlation"][q, i], prototype[j]
                    similarity = x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + 0.01)
                    scores[q, w] += matrix[i * FRAMES + j] * similarity
        texts_of = texts[:WAY] / np.linalg.norm(texts[:WAY], axis=1, keepdims=True)
        parts = [(config.vision_exponent, scores[q])]
        for name, power, scale in (
            ("adapted_clip", config.clip_exponent, config.clip_scale),
            ("side_text", config.side_exponent, config.side_scale),
        ):
            unit = query[name][q] / np.linalg.norm(query[name][q])
            parts.append((power, scale * texts_of @ unit))
        for power, part in parts:
            powers[q] += power * (part - np.log(np.exp(part).sum()))
    output = answer(params, support, query, texts)
    np.testing.assert_allclose(output.diagnostics["scores"], scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.diagnostics["log_fused"], powers, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(output.logits.argmax(1), powers.argmax(1))


def loss(config, params, episode, **options):
    support, query, texts = episode
    labels, ids = jnp.array([0, 2, 1, 0]), jnp.array([4, 0, 2])
    return TSFSAR(config).apply(
        {"params": params}, support, query, texts[ids], query_labels=labels, class_ids=ids,
        class_texts=texts, rngs={"dropout": jax.random.key(0)}, **options
    ).losses  # fmt: skip


def test_the_total_is_the_weighted_sum(episode, params):
    config = TSFSARConfig(vision_weight=2, classifier_weight=3, side_weight=5, distill_weight=7)
    found = loss(config, params, episode)
    weights = {"vision": 2, "classifier": 3, "text_side": 5, "text_clip": 7, "distill": 7}
    expected = sum(weight * found[name] for name, weight in weights.items())
    np.testing.assert_allclose(found["total"], expected, rtol=1e-5)


@pytest.mark.parametrize("gradient", [True, False])
def test_the_teacher_of_the_distillation(episode, params, gradient):
    config = TSFSARConfig(teacher_gradient=gradient, dropout=0.0)

    def distill(adapted):
        support, query, texts = episode
        return loss(config, params, (support, query | {"adapted_clip": adapted}, texts))["distill"]

    moved = jax.grad(distill)(episode[1]["adapted_clip"])
    assert bool(np.abs(moved).max() > 0) == gradient


def test_dropout_is_before_the_classifier_and_in_training_alone(episode, params):
    config = TSFSARConfig(dropout=0.5)
    test, train = loss(config, params, episode), loss(config, params, episode, train=True)
    changed = {name for name in test if not np.allclose(test[name], train[name], rtol=1e-6)}
    assert changed == {"classifier", "distill", "total"}


# --- a whole life on the tiny videos ---


def config_of(tiny, tmp_path, **changes):
    settings = get_config("method=ts_fsar")
    small = {
        "encoder.side_width": 64,
        "encoder.temporal_blocks": (0,),
        "encoder.start": "random",
        "data.frames": 2,
        "eval.shots": (1,),
        "eval.untrained": False,
        "eval.feature_cache": str(tmp_path / "store"),
    }
    own = {name: value for name, value in tiny.items() if not name.startswith("mdmf.")}
    settings.update_from_flattened_dict(own | small | changes)
    return from_config_dict(settings)


@pytest.mark.slow
def test_from_training_to_an_exported_model(tiny, videos, tmp_path):
    config = config_of(tiny, tmp_path)
    assert config.encoder_name == "ts_fsar"
    start, end = train_and_resume(config, tmp_path)
    changed = moved(start, end)
    trained = {path for path in start if path.startswith("head/") or "adapter" in path}
    assert changed <= trained
    # The gradient of a key's bias is zero but for rounding.
    assert {path for path in trained - changed if not path.endswith("k_proj/bias")} == set()
    assert list((tmp_path / "store").glob("*/*.features"))

    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    told = fitted.explain(asked[0])
    assert told["label"] in fitted.classes_ and told["similarity"]["frames"].shape == (2, 2)
    save_load_and_export(fitted, asked, tmp_path)


def test_another_encoder_does_not_make_its_features(tiny, tmp_path):
    settings = get_config("method=ts_fsar,encoder=clip")
    settings.update_from_flattened_dict(tiny)
    with pytest.raises(ConfigError, match="ts_fsar needs the features adapted_clip, class_tokens"):
        make_run(from_config_dict(settings))
