"""What a model goes through: trained, stopped, gone on with, fitted, saved, loaded, exported."""

import dataclasses
import io

import jax
import jaxtyping
import numpy as np
from flax.traverse_util import flatten_dict
from rich.console import Console

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.export.load_exported import load_exported
from mdmf_jax.export.writer import export_path
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints


def train(config, folder):
    return train_and_evaluate(config, folder, Console(file=io.StringIO()))


def train_and_resume(config, folder):
    """Trains in one go (folder/whole) and in two (folder/run), which must be the same bit for bit.

    Returns:
      The parameters at the start and at the end, by path.
    """
    results, history = train(config, folder / "whole")
    steps = config.train.steps
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps // 2))
    _, first = train(half, folder / "run")
    again, second = train(config, folder / "run")
    assert first + second == history and again["test"] == results["test"]
    start, one = start_and_end(config, folder / "whole")
    _, other = start_and_end(config, folder / "run")
    for path, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[path], err_msg=path)
    return start, one


def start_and_end(config, folder):
    """Parameters of a run at the start and at the end, by path."""
    run = make_run(config)
    with Checkpoints(folder / FOLDER) as checkpoints:
        saved = checkpoints.restore(config.train.steps, run.trainer.abstract_state)
    before, after = jax.device_get((run.trainer.new_state().params, saved.params))
    return flatten_dict(before, sep="/"), flatten_dict(after, sep="/")


def moved(start, end) -> set[str]:
    """Paths of the parameters that training changed."""
    return {path for path in start if np.abs(start[path] - end[path]).max() > 0}


def save_load_and_export(fitted, asked, folder, atol=1e-5):
    """A saved classifier answers the same bit for bit, an exported one up to `atol`."""
    expected = fitted.predict_proba(asked)
    fitted.save(folder / "model")
    loaded = FewShotClassifier.load(folder / "model")
    np.testing.assert_array_equal(loaded.predict_proba(asked), expected)
    jaxtyping.config.update("jaxtyping_disable", True)  # it cannot read sizes left open
    try:
        export_path(folder / "model", folder / "exported")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    clips = [fitted._reader.read(video).clips for video in asked]
    together = {key: np.stack([clip[key][0] for clip in clips]) for key in clips[0]}
    given = together["rgb"] if together.keys() == {"rgb"} else together
    found = load_exported(folder / "exported").predict_proba(given)
    np.testing.assert_allclose(found, expected, atol=atol)
