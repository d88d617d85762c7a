"""Episodes from outputs of single videos: the same as one whole episode after the other."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from mdmf_jax.evaluation.evaluator import EpisodeEvaluator
from mdmf_jax.models.methods.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig

WAY, SHOT, EACH, FRAMES, WIDTH, VIDEOS, CLASSES, COUNT = 3, 2, 2, 4, 16, 40, 8, 23
SMALL = dict(heads=2, hidden=16, bidirectional=False)
METHODS = {
    "mdmf": MDMF(MDMFConfig(**SMALL)),
    "mdmf, sampled": MDMF(MDMFConfig(**SMALL, pps_at_test="sample")),
    "clip_fsar": CLIPFSAR(CLIPFSARConfig(**SMALL)),
    "clip_fsar, merged before": CLIPFSAR(CLIPFSARConfig(**SMALL, merge_before=True)),
}


def mesh(data):
    types = (AxisType.Auto, AxisType.Auto)
    devices = jax.devices()[:data]
    return jax.make_mesh((data, 1), ("data", "model"), axis_types=types, devices=devices)


def inputs(method):
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
    features = rng.normal(size=(VIDEOS, FRAMES, WIDTH)).astype(np.float32)
    table = (1 + 0.02 * rng.normal(size=(CLASSES, WIDTH))).astype(np.float32)
    example = (features[videos[0, :, :SHOT]], features[:4], table[:WAY])
    params = jax.jit(method.init)({"params": jax.random.key(1)}, *example)["params"]
    return params, features, table, episodes, jax.random.key(4)


def direct(method, params, features, table, episodes, key):
    """Whole episodes, all at once."""

    def episode(support, query, prompts, index):
        rngs = {"prompt": jax.random.fold_in(key, index)}
        output = method.apply({"params": params}, support, query, prompts, rngs=rngs)
        answers = {"prediction": output.logits.argmax(-1)}
        if method.chooses_prompts:
            answers["prompt_choice"] = output.diagnostics["prompt_choice"]
        return answers

    return jax.jit(jax.vmap(episode))(
        features[episodes["support"]],
        features[episodes["query"]],
        table[episodes["class_ids"]],
        episodes["index"].astype(np.uint32),
    )


def assert_same(answers, expected):
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value)


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_those_of_whole_episodes(name):
    method = METHODS[name]
    case = inputs(method)
    answers = EpisodeEvaluator(method, mesh(1), chunk=10)(*case)
    assert answers["prediction"].shape == (COUNT, WAY * EACH)
    assert len(np.unique(answers["prediction"])) == WAY
    assert_same(answers, direct(method, *case))


def test_chunks_groups_and_devices_change_nothing():
    method = METHODS["mdmf, sampled"]
    case = inputs(method)
    expected = EpisodeEvaluator(method, mesh(1), chunk=10)(*case)
    for chunk, devices, gib in ((7, 8, 8.0), (8, 1, 0.0)):
        answers = EpisodeEvaluator(method, mesh(devices), chunk, gib)(*case)
        assert_same(answers, expected)
    other = EpisodeEvaluator(method, mesh(1), chunk=10)(*case[:-1], jax.random.key(5))
    assert (other["prompt_choice"] != expected["prompt_choice"]).any()


def test_other_episodes_and_parts_need_no_new_compilation():
    method = METHODS["mdmf"]
    params, features, table, episodes, key = inputs(method)
    evaluate = EpisodeEvaluator(method, mesh(1), chunk=10)
    evaluate(params, features, table, episodes, key)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    changed = jax.tree.map(lambda x: x * 1.5, params)
    compiled.clear()
    few = {"support": 32, "query": 32, "class_ids": 7}
    smaller = {name: value % few.get(name, 10**9) for name, value in episodes.items()}
    evaluate(changed, features[:32], table[:7], smaller, key)
    assert compiled == []
    jax.jit(lambda x: x + 17)(3.0)
    assert compiled  # the listener works
