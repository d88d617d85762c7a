"""Whole runs on tiny data: results, resuming, repeating, evaluating a checkpoint."""

import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from mdmf_jax.config.config import from_config_dict, to_dict
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training import trainer
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.scalars import METRICS, read_metrics
from mdmf_jax.training.sharding import device_mesh


def quiet():
    return Console(file=io.StringIO(), width=120)


def train(settings, folder):
    return train_and_evaluate(from_config_dict(settings), folder, quiet())


def final_state(settings, folder, step):
    with Checkpoints(folder / FOLDER) as checkpoints:
        abstract = make_run(from_config_dict(settings)).trainer.abstract_state
        return jax.tree.map(np.asarray, checkpoints.restore(step, abstract))


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_results_file(finished_run, settings):
    results = json.loads((finished_run.folder / "results.json").read_text())
    assert results == finished_run.results
    for stage in ("test", "untrained"):
        for shot in (1, 2):
            metrics = results[stage][f"2way_{shot}shot"]
            assert 0 <= metrics["accuracy"] <= 1
            assert 0 <= metrics["interval95"] <= 1.96 * 0.5 / 20**0.5
            sizes = [metrics[name] for name in ("episodes", "way", "shot", "queries")]
            assert sizes == [20, 2, shot, 1]
            classes = {"test red box", "test green box", "test blue box"}
            assert set(metrics["per_class"]) == classes
    assert results["prompt_accuracy"] == results["test"]["2way_1shot"]["prompt_accuracy"]
    assert results["settings"] == to_dict(from_config_dict(settings))
    assert results["seed"] == 0
    assert results["hardware"]["platform"] == "cpu"
    assert results["seconds"]["total"] > 0


def test_the_best_checkpoint_was_tested(finished_run, settings):
    validation = finished_run.results["validation"]
    with Checkpoints(finished_run.folder / FOLDER) as checkpoints:
        assert validation["step"] == checkpoints.best()
        assert validation["accuracy"] == checkpoints.metrics(validation["step"])["accuracy"]
    run = make_run(from_config_dict(settings))
    state = final_state(settings, finished_run.folder, validation["step"])
    sizes = dict(way=2, shot=1, queries=1, episodes=20, seed=0)
    metrics = run.evaluator.evaluate(state.params, "test", **sizes)
    assert metrics == finished_run.results["test"]["2way_1shot"]


def test_what_is_printed(finished_run):
    for text in ("step 4/4, loss", "step 4: validation accuracy", "2-way 2-shot", "untrained",
                 "20 episodes of ", "videos each", "50.0%", "results.json"):  # fmt: skip
        assert text in finished_run.printed
    assert any(path.name.startswith("events") for path in finished_run.folder.glob("tensorboard/*"))


def test_metrics_of_every_logged_step_are_lines(finished_run):
    found = list(read_metrics(finished_run.folder / METRICS))
    train = [line for line in found if line["kind"] == "train"]  # every step is logged
    assert [line["step"] for line in train] == [row["step"] for row in finished_run.history]
    for line, row in zip(train, finished_run.history, strict=True):
        assert line["metrics"].pop("episodes_per_second") > 0
        assert line["metrics"] == {name: row[name] for name in row.keys() - {"step"}}
        assert line["metrics"]["gradient_norm"] > 0 and line["metrics"]["parameter_norm"] > 0
    validated = [line for line in found if line["kind"] == "validation"]
    assert validated[-1]["step"] == 4
    chosen = finished_run.results["validation"]
    accuracies = {line["step"]: line["metrics"]["accuracy"] for line in validated}
    assert accuracies[chosen["step"]] == chosen["accuracy"]


@pytest.mark.devices
def test_same_seed_same_numbers_and_resuming_changes_nothing(finished_run, settings, tmp_path):
    settings.train.steps = 2
    _, first = train(settings, tmp_path)
    settings.train.steps = 4
    results, second = train(settings, tmp_path)
    assert first + second == finished_run.history
    assert [row["step"] for row in second] == [3, 4]
    assert results["test"] == finished_run.results["test"]
    one, other = (final_state(settings, folder, 4) for folder in (finished_run.folder, tmp_path))
    assert_same_bits(one, other)

    again, none = train(settings, tmp_path)
    assert none == []
    assert again["test"] == results["test"]
    settings.train.steps = 3
    with pytest.raises(CheckpointError, match="holds step 4, but train.steps is 3"):
        train(settings, tmp_path)


@pytest.mark.slow
def test_another_seed_gives_other_numbers(finished_run, settings, tmp_path):
    settings.seed, settings.train.steps, settings.eval.shots = 1, 1, (1,)
    _, history = train(settings, tmp_path)
    assert history[0]["loss"] != finished_run.history[0]["loss"]


def test_no_steps_test_the_untrained_head(settings, tmp_path):
    settings.train.steps = 0
    results, history = train(settings, tmp_path)
    assert history == []
    assert results["validation"] is None
    assert results["test"] == results["untrained"]


@pytest.mark.slow
def test_reference_variant_with_frozen_encoder(settings, tmp_path):
    settings.variant, settings.train.freeze = "reference", ("^encoder/",)
    settings.train.update(steps=2, validate_every=1)
    settings.eval.update(shots=(1,), untrained=False)
    results, history = train(settings, tmp_path)
    assert len(history) == 2
    assert results["validation"]["step"] == 2
    before = make_run(from_config_dict(settings)).trainer.new_state().params
    after = final_state(settings, tmp_path, 2).params
    assert_same_bits(before["encoder"], after["encoder"])
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before["head"], after["head"])
    assert max(jax.tree.leaves(moved)) > 1e-4


@pytest.mark.devices
def test_eight_devices_compute_what_one_does(settings, monkeypatch):
    config, results = from_config_dict(settings), []
    for devices in (8, 1):
        chosen = jax.devices()[:devices]
        monkeypatch.setattr(
            trainer, "device_mesh", lambda *sizes, chosen=chosen: device_mesh(*sizes, chosen)
        )
        run = make_run(config)
        start = run.trainer.new_state()
        (batch,) = run.dataset.train_batches(0, 1)
        state, metrics = run.train_step(start.params)(start, batch)
        assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == devices
        gradients = jax.tree.leaves(state.opt_state[0].mu)
        results.append(jax.device_get((metrics["loss"], jax.tree.leaves(state.params), gradients)))
    (loss, params, gradients), (other_loss, other_params, other_gradients) = results
    np.testing.assert_allclose(loss, other_loss, rtol=1e-5)
    for a, b, one, other in zip(params, other_params, gradients, other_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
        # Adam makes full steps of gradients that are nothing but rounding, such as those of
        # the biases of keys, which a softmax cancels.
        clear = np.abs(one) > 1e-6
        np.testing.assert_allclose(a[clear], b[clear], rtol=1e-5, atol=1e-5)
    assert sum(np.abs(g).max() > 1e-6 for g in gradients) > 0.9 * len(gradients)


def test_loss_falls_on_one_batch(settings):
    run = make_run(from_config_dict(settings))
    state = run.trainer.new_state()
    step = run.train_step(state.params)
    (batch,) = run.dataset.train_batches(0, 1)
    losses = []
    for _ in range(40):
        state, metrics = step(state, batch)
        losses.append(float(metrics["cross_entropy"]))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_evaluation_of_a_checkpoint(finished_run):
    out = io.StringIO()
    console = Console(file=out, width=120)
    results = evaluate(Task(), checkpoint=finished_run.folder, console=console)
    expected = finished_run.results["test"]["2way_1shot"]
    assert {name: results[name] for name in expected} == expected
    assert results["checkpoint_step"] == finished_run.results["validation"]["step"]
    path = finished_run.folder / "eval_test_2way_1shot.json"
    assert json.loads(path.read_text()) == results
    for text in ("test red box", "2-way 1-shot accuracy on test classes", "(chance 50.0%)"):
        assert text in out.getvalue()


def test_evaluation_with_other_sizes(finished_run, tmp_path):
    task = Task(split="val", way=3, shot=2, queries=2, episodes=7, seed=3)
    step = finished_run.folder / FOLDER / "4"
    out = tmp_path / "mine.json"
    results = evaluate(task, checkpoint=step, out=out, console=quiet())
    assert json.loads(out.read_text()) == results
    assert results["checkpoint_step"] == 4
    sizes = [results[name] for name in ("split", "way", "shot", "queries", "episodes", "seed")]
    assert sizes == ["val", 3, 2, 2, 7, 3]


def test_evaluation_of_an_untrained_head(finished_run, settings):
    with pytest.raises(CheckpointError, match="--checkpoint is missing"):
        evaluate(Task(), config=from_config_dict(settings), console=quiet())
    with pytest.raises(ConfigError, match="give --checkpoint"):
        evaluate(Task(), console=quiet())
    settings.train.steps = 0
    results = evaluate(Task(), config=from_config_dict(settings), console=quiet())
    expected = finished_run.results["untrained"]["2way_1shot"]
    assert {name: results[name] for name in expected} == expected


def test_a_config_beside_a_checkpoint_must_agree(finished_run, settings):
    settings.eval.episodes = 5
    config = from_config_dict(settings)
    results = evaluate(Task(), checkpoint=finished_run.folder, config=config, console=quiet())
    assert results["episodes"] == 5
    settings.mdmf.hidden = 32
    with pytest.raises(CheckpointError, match=r"other settings \(mdmf.hidden: 16 -> 32\)"):
        evaluate(
            Task(),
            checkpoint=finished_run.folder,
            config=from_config_dict(settings),
            console=quiet(),
        )
