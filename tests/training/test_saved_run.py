"""A run that version 0.1.0 trained is evaluated, used and resumed; see its README."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import to_dict
from mdmf_jax.evaluation.opened import open_checkpoint
from mdmf_jax.evaluation.task import Task, adapted
from mdmf_jax.runs.train import make_run
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.restore import find

RUN = Path(__file__).parent / "saved_0.1.0"
# Classifiers of the same version; that of the run has its parameters.
CLASSIFIERS = Path(__file__).parents[1] / "classifier/saved_0.1.0"
CLIP = CLASSIFIERS / "otam/clip"
ANSWERS = json.loads((CLASSIFIERS / "answers.json").read_text())
COLOURS = {"red": (180, 120, 120), "green": (120, 180, 120), "blue": (120, 120, 180)}


def frames(name, seed):
    """Noise around a colour, uint8 [9, 20, 24, 3]; as the README makes it."""
    rng = np.random.default_rng(seed)
    shift, noise = rng.integers(-40, 40, 3), rng.integers(-30, 30, (9, 20, 24, 3))
    return np.clip(np.array(COLOURS[name]) + shift + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The videos of the run, as folders of images."""
    root = tmp_path_factory.mktemp("images")
    for number, split in enumerate(("train", "val", "test")):
        for name in COLOURS:
            for video in range(4):
                folder = root / split / f"{split}_{name}" / str(video)
                folder.mkdir(parents=True)
                for i, image in enumerate(frames(name, 10 * number + video)):
                    Image.fromarray(image).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def opened(images):
    return open_checkpoint(RUN, Task(encoder=str(CLIP), data=str(images)))


def test_an_evaluation_gives_the_answers_of_then(opened):
    sizes = dict(way=3, shot=1, queries=1, episodes=20, seed=4)
    found, table = opened.evaluator.answers(opened.params, "test", **sizes)
    expected = ANSWERS["evaluation"]
    assert found.keys() == expected.keys() == {"prediction", "prompt_choice"}
    for name, answers in expected.items():
        np.testing.assert_array_equal(found[name], answers)
    share = (np.array(expected["prediction"]) == table["query_labels"]).mean()
    assert 0.3 < share < 1  # answers that are not a matter of course


def test_a_classifier_of_it_answers_as_then():
    support = {
        name: [frames(name, 100 + i) for i in range(count)]
        for name, count in zip(COLOURS, (2, 1, 3), strict=True)
    }
    classifier = FewShotClassifier.from_pretrained(RUN, encoder=CLIP).fit(support)
    queries = [frames(name, seed) for name in COLOURS for seed in (200, 201, 202)]
    logits, *_ = classifier._logits(queries, "raise")
    np.testing.assert_allclose(logits, ANSWERS["mdmf"]["logits"], rtol=1e-5, atol=1e-5)
    # The six clips do not show that it learnt anything, so that no answer is given today.
    assert classifier.verdict_.word != "works"
    best = [classifier.classes_[place] for place in logits.argmax(1)]
    then = ANSWERS["mdmf"]["labels"]
    assert [b for b, label in zip(best, then, strict=True) if label != "unknown"] == [
        label for label in then if label != "unknown"
    ]


def test_its_settings_have_their_names_of_today(opened):
    config = opened.config
    assert (config.data.test_clips, config.encoder.normalise) == (2, "none")
    assert (config.head.matcher, config.head.temperature) == ("tuples", 0.3)
    tuples = config.sections["tuples"]
    assert (tuples.width, tuples.levels, tuples.counts) == (4, (1, 2), (3, 2))


def test_training_can_go_on_from_it(images, opened):
    """The settings are those of the checkpoint, and its whole state is that of a run today."""
    found = find(RUN).config
    config = replace(found, train=replace(found.train, steps=3))
    run = make_run(adapted(config, Task(encoder=str(CLIP), data=str(images))))
    with Checkpoints(RUN / FOLDER) as checkpoints:
        checkpoints.check(2, to_dict(config))
        state = checkpoints.restore(2, run.trainer.abstract_state)
    assert (int(state.step), int(state.skipped)) == (2, 0)
    jax.tree.map(np.testing.assert_array_equal, state.params, opened.params)
    assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(state.opt_state))
