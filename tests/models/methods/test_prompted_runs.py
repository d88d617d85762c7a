"""CLIP-SPM and EMP-Net from training to export."""

import dataclasses
import io

import jax
import jaxtyping
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.task import Task
from mdmf_jax.export.load_exported import load_exported
from mdmf_jax.export.writer import export_path
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints

OPTIONS = {
    "clip_spm": {"clip_spm.heads": 2, "clip_spm.inner": 16, "clip_spm.hidden": 16},
    "emp_net": {"emp_net.top_patches": 2},
}


def config_of(method, tiny, tmp_path, **changes):
    settings = get_config(f"method={method}")
    store = {"eval.feature_cache": str(tmp_path / "store"), "eval.shots": (1,)}
    own = {f"{method}.bidirectional": False} | OPTIONS[method] | changes
    settings.update_from_flattened_dict(tiny | store | {"eval.untrained": False} | own)
    return from_config_dict(settings)


def train(config, folder):
    return train_and_evaluate(config, folder, Console(file=io.StringIO()))


def params_of(config, folder):
    run = make_run(config)
    with Checkpoints(folder / FOLDER) as checkpoints:
        saved = checkpoints.restore(config.train.steps, run.trainer.abstract_state)
    before, after = jax.device_get((run.trainer.new_state().params, saved.params))
    return flatten_dict(before, sep="/"), flatten_dict(after, sep="/")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["clip_spm", pytest.param("emp_net", marks=pytest.mark.slow)])
def test_from_training_to_export(method, tiny, videos, tmp_path):
    config = config_of(method, tiny, tmp_path)
    results, history = train(config, tmp_path / "whole")
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2))
    _, first = train(half, tmp_path / "run")
    again, second = train(config, tmp_path / "run")
    assert first + second == history and again["test"] == results["test"]
    start, one = params_of(config, tmp_path / "whole")
    _, other = params_of(config, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, one, other)
    moved = {path for path in start if np.abs(start[path] - one[path]).max() > 0}
    tower = {path for path in start if path.startswith("encoder/") and "adapter" not in path}
    assert tower and (moved & tower == (set() if method == "emp_net" else tower))
    assert start.keys() - moved == (tower if method == "emp_net" else {"head/scale"})

    found = evaluate(
        Task(episodes=7), checkpoint=tmp_path / "run", console=Console(file=io.StringIO())
    )
    assert found["episodes"] == 7
    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    expected = fitted.predict_proba(asked)
    fitted.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(asked), expected)
    jaxtyping.config.update("jaxtyping_disable", True)  # it cannot read sizes left open
    try:
        export_path(tmp_path / "model", tmp_path / "exported")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    exported = load_exported(tmp_path / "exported")
    clips = [fitted._reader.read(path).clips for path in asked]
    found = exported.predict_proba(np.stack([clip["rgb"][0] for clip in clips]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_too_few_patches_get_one_line(tiny, tmp_path):
    config = config_of("emp_net", tiny, tmp_path, **{"emp_net.top_patches": 49})
    with pytest.raises(ConfigError, match="top_patches is 49, but .* 4 patches: set it to 4"):
        make_run(config)
