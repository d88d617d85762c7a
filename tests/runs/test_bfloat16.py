"""A run that computes in bfloat16 does so wherever its model is used."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.evaluation.opened import open_checkpoint
from mdmf_jax.evaluation.task import Task
from mdmf_jax.export.load_exported import load_exported
from mdmf_jax.export.writer import export_path
from mdmf_jax.model import FewShotModel
from mdmf_jax.runs.train import train_and_evaluate

pytestmark = pytest.mark.optimised  # what is rounded depends on it


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A run of one step, with a method that compiles fast."""
    from configs import common

    folder, settings = tmp_path_factory.mktemp("bfloat16"), common.get_config()
    fast = {"method": "cross_transformer", "cross_transformer.width": 8, "train.steps": 1}
    short = {"train.validate_every": 1, "eval.shots": (1,), "eval.untrained": False}
    settings.update_from_flattened_dict(tiny | fast | short | {"encoder.dtype": "bfloat16"})
    train_and_evaluate(from_config_dict(settings), folder / "run", Console(quiet=True))
    return folder


@pytest.fixture(scope="module")
def opened(folder):
    return open_checkpoint(folder / "run", Task())


@pytest.fixture(scope="module")
def expected(opened):
    """What the evaluation makes of the test videos."""
    return opened.evaluator.features(opened.params, "test")["frames"]


@pytest.fixture(scope="module")
def clips(opened):
    videos = range(opened.dataset.splits["test"].num_videos)
    return np.stack([opened.dataset.test_clip("test", video)["rgb"] for video in videos])


def rounded(x):
    return np.asarray(x).astype(jnp.bfloat16).astype(np.float32)


@pytest.mark.slow
def test_the_evaluation_computes_in_bfloat16(opened, expected, clips):
    """It gives other features than float32, by what bfloat16 rounds away."""
    settings = opened.model.settings
    other = FewShotModel(replace(settings, encoder=replace(settings.encoder, dtype="float32")))
    found = jax.jit(other.stage("encode"))(opened.params, {"rgb": clips})["frames"]
    assert expected.dtype == np.float32
    difference = np.abs(found - expected).max()
    assert 1e-3 < difference < 0.1 * np.abs(found).max()


def test_the_classifier_sees_the_features_of_the_evaluation(folder, opened, expected, videos):
    classifier = FewShotClassifier.from_pretrained(folder / "run")
    split = opened.dataset.splits["test"]
    encoded = classifier._encode([videos / path for path in split.paths], "raise")
    np.testing.assert_array_equal(encoded.features["frames"], expected)

    classifier.fit(videos / "test").save(folder / "model")
    loaded = FewShotClassifier.load(folder / "model")
    encoded = loaded._encode([videos / path for path in split.paths], "raise")
    np.testing.assert_array_equal(encoded.features["frames"], expected)


def test_the_export_computes_in_bfloat16(folder, expected, clips):
    """Its program rounds at the end, which XLA leaves out where it compiles the evaluation's."""
    export_path(folder / "run", folder / "exported")
    found = load_exported(folder / "exported").encode(clips)["frames"]
    np.testing.assert_array_equal(found, rounded(found))
    np.testing.assert_allclose(found, expected, rtol=2**-7, atol=1e-2)
