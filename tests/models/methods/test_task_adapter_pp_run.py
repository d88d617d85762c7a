"""Task-Adapter++ through everything: trained, resumed, tested, fitted, saved, loaded, exported."""

import dataclasses
import io
from types import SimpleNamespace

import jax
import jaxtyping
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.classifier.leave_one_out import leave_one_out
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.task import Task
from mdmf_jax.export.load_exported import load_exported
from mdmf_jax.export.programs import programs_of
from mdmf_jax.export.writer import export_path
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints

QUIET = Console(file=io.StringIO())


def config_of(argument, tiny, tmp_path, **changes):
    settings = get_config(f"method=task_adapter_pp{argument}")
    own = {
        "encoder.image_adapted": 1,
        "encoder.text_adapted": 1,
        "eval.feature_cache": str(tmp_path / "store"),
        "eval.shots": (1,),
        "eval.queries": 1,
        "eval.untrained": False,
        "train.steps": 2,
        "train.episodes_per_step": 2,
        "train.validate_every": 1,
        "train.validate_episodes": 4,
    }
    settings.update_from_flattened_dict(tiny | own | changes)
    return from_config_dict(settings)


def params_of(config, folder):
    run = make_run(config)
    with Checkpoints(folder / FOLDER) as checkpoints:
        return jax.device_get(checkpoints.restore(2, run.trainer.abstract_state).params)


def train_and_resume(config, tmp_path):
    """Two steps at once, and one by one: the same. Returns the parameters."""
    results, history = train_and_evaluate(config, tmp_path / "whole", QUIET)
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1))
    _, first = train_and_evaluate(half, tmp_path / "run", QUIET)
    again, second = train_and_evaluate(config, tmp_path / "run", QUIET)
    assert first + second == history and [row["step"] for row in second] == [2]
    assert again["test"] == results["test"]
    one, other = (params_of(config, tmp_path / folder) for folder in ("whole", "run"))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    return one


def moved(config, params):
    start = flatten_dict(jax.device_get(make_run(config).trainer.new_state().params), sep="/")
    end = flatten_dict(params, sep="/")
    return {path for path in start if np.abs(start[path] - end[path]).max() > 0}, set(start)


def check_leave_one_out(fitted):
    """A video that is left out is not seen by the other supports either."""
    model, params = fitted._model.few_shot, fitted._model.params
    answer = jax.jit(lambda episode, texts: model.episode(params, episode, texts).logits)
    classes = list(fitted.support_.classes.values())
    logits, labels, foreign = leave_one_out(fitted._model.stages, fitted.support_)
    clips = np.stack([c.clips["rgb"][:, 0] for c in classes])  # [W, K, T, H, W, 3]
    # Without the first of the first class, the others have one less as well.
    episode = {"support": {"rgb": clips[:, 1:]}, "query": {"rgb": clips[0, :1]}}
    texts = np.stack([c.text for c in classes])
    found = answer(episode, texts)
    np.testing.assert_allclose(logits[0], found[0], rtol=1e-3, atol=1e-3)
    episode = {"support": {"rgb": clips[1:]}, "query": {"rgb": clips[0, :1]}}
    found = answer(episode, texts[1:])
    np.testing.assert_allclose(foreign[0], found[0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["support", pytest.param("none", marks=pytest.mark.slow)])
def test_corrected_forms_go_through_everything(attention, tiny, videos, tmp_path):
    options = {"encoder.task_attention": attention, "task_adapter_pp.cross_norm": True}
    config = config_of("", tiny, tmp_path, **options)
    changed, paths = moved(config, train_and_resume(config, tmp_path))
    adapters = {path for path in paths if "/adapter" in path}
    assert {path for path in adapters if "/up/" in path} <= changed  # the rest starts to move next
    assert changed <= adapters | {"head/norm/scale", "head/norm/bias"}
    assert evaluate(Task(episodes=5), checkpoint=tmp_path / "run", console=QUIET)["episodes"] == 5
    assert list((tmp_path / "store").glob("*/*.features"))  # with supports together, of queries

    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    expected = fitted.predict_proba(asked)
    fitted.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(asked), expected)
    if attention == "support":
        check_leave_one_out(fitted)

    jaxtyping.config.update("jaxtyping_disable", True)  # it cannot read sizes left open
    try:
        export_path(tmp_path / "model", tmp_path / "exported")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    clips = np.stack([fitted._reader.read(path).clips["rgb"][0] for path in asked])
    found = load_exported(tmp_path / "exported").predict_proba(clips)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_whole_episodes_are_trained_resumed_and_tested(tiny, tmp_path):
    config = config_of(",variant=reference", tiny, tmp_path)
    assert config.encoder.task_attention == "both"
    train_and_resume(config, tmp_path)
    assert evaluate(Task(episodes=5), checkpoint=tmp_path / "run", console=QUIET)["episodes"] == 5
    assert not list((tmp_path / "store").glob("*/*.features"))
    with pytest.raises(ConfigError, match="task_adapter_pp sees whole episodes"):
        FewShotClassifier.from_pretrained(tmp_path / "run")


def test_answers_that_depend_on_other_queries_are_not_for_a_classifier(tmp_path, monkeypatch):
    model = SimpleNamespace(encoder=SimpleNamespace(unit="video"), inductive=False)
    found = SimpleNamespace(config=SimpleNamespace(method="task_adapter_pp"))
    restored = SimpleNamespace(model=model, found=found)
    monkeypatch.setattr("mdmf_jax.classifier.model.restore", lambda *_, **__: restored)
    with pytest.raises(ConfigError, match="settings of task_adapter_pp the answer .* depends on"):
        FewShotClassifier.from_pretrained(tmp_path)


def test_supports_that_see_each_other_are_exported_with_their_classes():
    model = SimpleNamespace(
        encoder=SimpleNamespace(unit="support"),
        settings=SimpleNamespace(encoder_name="task_adapter_pp"),
    )
    with pytest.raises(ConfigError, match="run `mdmf fit`, and export the fitted model"):
        programs_of(model, with_texts=True)
