"""Runs and evaluations that were damaged or killed end as those that were not."""

import io
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.errors import CheckpointError
from mdmf_jax.evaluation import partial
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints


@pytest.fixture
def damaged_run(finished_run, tmp_path):
    """A copy of the finished run with one flipped bit in its newest checkpoint."""
    folder = shutil.copytree(finished_run.folder, tmp_path / "run")
    path = next(p for p in (folder / FOLDER / "4" / "state").rglob("*") if p.parent.name == "d")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return folder


def test_a_damaged_newest_checkpoint_stops_the_run(damaged_run, settings):
    with pytest.raises(CheckpointError, match="4 is damaged: the content of state/.* has changed"):
        train_and_evaluate(from_config_dict(settings), damaged_run, Console(quiet=True))


@pytest.mark.slow
def test_the_one_before_is_used_if_the_user_says_so(damaged_run, finished_run, settings):
    settings.checkpoint.on_corrupt = "fallback"
    config, out = from_config_dict(settings), io.StringIO()
    results, history = train_and_evaluate(config, damaged_run, Console(file=out, width=1000))
    assert "WARNING" in out.getvalue() and "damaged-4" in out.getvalue()
    assert [metrics["step"] for metrics in history] == [3, 4]
    assert results["test"] == finished_run.results["test"]
    abstract = make_run(config).trainer.abstract_state
    states = []
    for folder in (damaged_run, finished_run.folder):
        with Checkpoints(folder / FOLDER) as checkpoints:
            states.append(jax.tree.leaves(checkpoints.restore(4, abstract)))
    for resumed, whole in zip(*states, strict=True):
        np.testing.assert_array_equal(resumed, whole)


@pytest.mark.slow
def test_a_killed_evaluation_gives_the_same_report(finished_run, tmp_path, monkeypatch):
    run = shutil.copytree(finished_run.folder, tmp_path / "run")
    task, quiet = Task(episodes=60, shot=2), Console(quiet=True)
    evaluate(task, checkpoint=run, out=tmp_path / "whole.json", console=quiet)

    class Killed(Exception):
        pass

    keep = partial.PartialAnswers.keep
    seen = []

    def keep_and_die(self, answers):
        keep(self, answers)
        seen.append(len(answers["prediction"]))
        if len(seen) == 3:
            raise Killed

    monkeypatch.setattr(partial, "_SECONDS", 0)
    monkeypatch.setattr(partial.PartialAnswers, "keep", keep_and_die)
    broken = tmp_path / "broken.json"
    with pytest.raises(Killed):
        evaluate(task, checkpoint=run, out=broken, console=quiet)
    assert not broken.exists() and (tmp_path / "broken.json.partial").exists()
    evaluate(task, checkpoint=run, out=broken, console=quiet)
    assert seen[2] < seen[3] - 1  # The second run began after the answers of the first.
    assert broken.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert [path.name for path in tmp_path.glob("broken*")] == ["broken.json"]
