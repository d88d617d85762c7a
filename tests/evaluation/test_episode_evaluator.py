"""Episodes from outputs of single videos: the same as one whole episode after the other."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from mdmf_jax.evaluation import episodes as evaluation
from mdmf_jax.evaluation.episodes import EpisodeEvaluator
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.registry import config_class
from mdmf_jax.models.model_settings import ModelSettings

WAY, SHOT, EACH, FRAMES, WIDTH, VIDEOS, CLASSES, COUNT = 3, 2, 2, 4, 16, 40, 8, 23
SMALL = dict(heads=2, hidden=16, bidirectional=False)
METHODS = {
    "mdmf": ("mdmf", SMALL),
    "mdmf, sampled": ("mdmf", SMALL | {"pps_at_test": "sample"}),
    "clip_fsar": ("clip_fsar", SMALL),
    "clip_fsar, merged before": ("clip_fsar", SMALL | {"merge_before": True}),
}


@pytest.fixture
def model_of(clip_folder):
    """A function that makes the model of one of METHODS."""

    def make(name: str) -> FewShotModel:
        method, options = METHODS[name]
        encoder = CLIPOptions(path=str(clip_folder))
        head = config_class(method)(**options)
        return FewShotModel(ModelSettings(method, head, "clip", encoder, FRAMES))

    return make


def mesh(data):
    types = (AxisType.Auto, AxisType.Auto)
    devices = jax.devices()[:data]
    return jax.make_mesh((data, 1), ("data", "model"), axis_types=types, devices=devices)


def inputs(model):
    """Arguments of an evaluator's call. Video v is of class v % CLASSES; features are close to
    each other, so that prompts are uncertain."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(CLASSES)[:WAY] for _ in range(COUNT)])
    places = np.stack(
        [[rng.permutation(VIDEOS // CLASSES)[: SHOT + EACH] for _ in range(WAY)] for _ in ids]
    )
    videos = ids[:, :, None] + CLASSES * places
    episodes = {
        "class_ids": ids,
        "support": videos[..., :SHOT],
        "query": videos[..., SHOT:].reshape(COUNT, -1),
        "index": np.arange(5, 5 + COUNT),
    }
    features = {"frames": rng.normal(size=(VIDEOS, FRAMES, WIDTH)).astype(np.float32)}
    table = (1 + 0.02 * rng.normal(size=(CLASSES, WIDTH))).astype(np.float32)
    example = (rows(features, videos[0, :, :SHOT]), rows(features, np.arange(4)), table[:WAY])
    params = jax.jit(model.method.init)({"params": jax.random.key(1)}, *example)["params"]
    return params, features, table, episodes, jax.random.key(4)


def rows(features, videos):
    return {name: x[videos] for name, x in features.items()}


def direct(model, params, features, table, episodes, key):
    """Whole episodes, all at once."""
    method = model.method

    def episode(support, query, prompts, index):
        rngs = {"prompt": jax.random.fold_in(key, index)}
        output = method.apply({"params": params}, support, query, prompts, rngs=rngs)
        answers = {"prediction": output.logits.argmax(-1)}
        if method.chooses_prompts:
            answers["prompt_choice"] = output.diagnostics["prompt_choice"]
        return answers

    return jax.jit(jax.vmap(episode))(
        rows(features, episodes["support"]),
        rows(features, episodes["query"]),
        table[episodes["class_ids"]],
        episodes["index"].astype(np.uint32),
    )


def assert_same(answers, expected):
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value)


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_those_of_whole_episodes(name, model_of):
    model = model_of(name)
    case = inputs(model)
    answers = EpisodeEvaluator(model, mesh(1), chunk=10)(*case)
    assert answers["prediction"].shape == (COUNT, WAY * EACH)
    assert len(np.unique(answers["prediction"])) == WAY
    assert_same(answers, direct(model, *case))


def test_pieces_that_fit_the_caches_change_nothing(model_of, monkeypatch):
    model = model_of("mdmf")
    case = inputs(model)
    expected = EpisodeEvaluator(model, mesh(1), chunk=10)(*case)
    sizes, mapped = [], jax.lax.map

    def watched(function, rows, **options):
        sizes.append(options.get("batch_size"))
        return mapped(function, rows, **options)

    monkeypatch.setattr(jax.lax, "map", watched)
    for cache in (1, 40_000, 2**30):
        monkeypatch.setattr(evaluation, "_CACHE", cache)
        assert_same(EpisodeEvaluator(model, mesh(1), chunk=10)(*case), expected)
    assert sizes[0] == 1 and 1 < sizes[1] < 10 and len(sizes) == 2


@pytest.mark.devices
def test_chunks_groups_and_devices_change_nothing(model_of):
    model = model_of("mdmf, sampled")
    case = inputs(model)
    expected = EpisodeEvaluator(model, mesh(1), chunk=10)(*case)
    for chunk, devices, gib in ((7, 8, 8.0), (8, 1, 0.0)):
        answers = EpisodeEvaluator(model, mesh(devices), chunk, gib)(*case)
        assert_same(answers, expected)
    other = EpisodeEvaluator(model, mesh(1), chunk=10)(*case[:-1], jax.random.key(5))
    assert (other["prompt_choice"] != expected["prompt_choice"]).any()


def test_other_episodes_and_splits_need_no_new_compilation(model_of):
    model = model_of("mdmf")
    params, features, table, episodes, key = inputs(model)
    evaluate = EpisodeEvaluator(model, mesh(1), chunk=10)
    evaluate(params, features, table, episodes, key)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    changed = jax.tree.map(lambda x: x * 1.5, params)
    compiled.clear()
    few = {"support": 32, "query": 32, "class_ids": 7}
    smaller = {name: value % few.get(name, 10**9) for name, value in episodes.items()}
    evaluate(changed, rows(features, np.arange(32)), table[:7], smaller, key)
    assert compiled == []
    jax.jit(lambda x: x + 17)(3.0)
    assert compiled  # the listener works
