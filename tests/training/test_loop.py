"""The loop: when it validates and saves, what it returns, when it stops."""

import gzip
import io
import json
import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from mdmf_jax.errors import Stopped, UserError
from mdmf_jax.training.loop import train_loop
from mdmf_jax.training.profile import StepProfile
from mdmf_jax.training.progress import TrainProgress
from mdmf_jax.training.state import TrainState
from mdmf_jax.training.stopping import StopSignal


class Run:
    """Runs the loop over batches that are numbers; the loss of a step is its batch."""

    def __init__(self, batches, start, steps, **options):
        self.validated, self.saved, self.scalars = [], [], []
        self.out = io.StringIO()
        progress = TrainProgress(Console(file=self.out, width=200), start, steps, 4)
        self.state, self.history = None, None
        self.options = {
            "start": start,
            "steps": steps,
            "log_every": 2,
            "validate_every": 3,
            "episodes_per_step": 4,
            "max_skipped": 0,
            "stop": lambda step: False,
            "validate": self.validate,
            "save": lambda step, state, result: self.saved.append((step, int(state.step), result)),
            "scalars": self,
            "progress": progress,
        } | options
        self.batches = batches

    def __call__(self):
        state = TrainState(jnp.int32(self.options["start"]), jnp.int32(0), {"w": 0}, ())
        self.state, self.history = train_loop(state, self.step, self.batches, **self.options)
        return self

    def step(self, state, batch):
        bad = not np.isfinite(batch)
        state = state.replace(step=state.step + 1, skipped=state.skipped + bad)
        loss = jnp.float32(batch)
        return state, {"loss": loss, "updated": jnp.bool(not bad), "skipped": state.skipped}

    def validate(self, params):
        self.validated.append(params)
        return {"accuracy": 0.25 * len(self.validated)}

    def write(self, group, step, values):
        self.scalars.append((group, step, values))


def test_validates_and_saves_every_so_often_and_at_the_end():
    run = Run(range(1, 8), start=0, steps=7)()
    assert run.saved == [
        (3, 3, {"accuracy": 0.25}),
        (6, 6, {"accuracy": 0.5}),
        (7, 7, {"accuracy": 0.75}),
    ]
    assert len(run.validated) == 3
    assert run.state.step == 7


def test_history_and_logged_means():
    run = Run(range(1, 8), start=0, steps=7)()
    assert [(m["step"], m["loss"]) for m in run.history] == [(n, n) for n in range(1, 8)]
    train = [(step, values["loss"]) for group, step, values in run.scalars if group == "train"]
    assert train == [(2, 1.5), (3, 3.0), (4, 4.0), (6, 5.5), (7, 7.0)]
    assert ("validation", 6, {"accuracy": 0.5}) in run.scalars


def test_goes_on_from_a_step():
    run = Run([10, 20], start=5, steps=7)()
    assert [(m["step"], m["loss"]) for m in run.history] == [(6, 10), (7, 20)]
    assert [step for step, *_ in run.saved] == [6, 7]


def test_a_loss_that_is_not_finite_stops_the_run_after_its_metrics_are_written():
    run = Run([1, 2, 3, 4, float("nan"), 6], start=0, steps=6)
    with pytest.raises(UserError, match="step 5, with the episodes 16 to 19, has no finite loss"):
        run()
    assert [step for step, *_ in run.saved] == [3]
    assert [step for group, step, _ in run.scalars if group == "train"] == [2, 3, 4, 6]


def test_bad_steps_may_be_left_out_up_to_a_limit():
    nan = float("nan")
    run = Run([1, nan, 3, 4, nan, 6, 7], start=0, steps=7, max_skipped=2)()
    assert [step for step, *_ in run.saved] == [3, 6, 7]
    assert run.out.getvalue().count("it was left out") == 2
    run = Run([1, nan, nan, 4, nan, 6, 7], start=0, steps=7, max_skipped=2)
    with pytest.raises(UserError, match="step 5, .* and 2 such steps were left out before"):
        run()
    assert [step for step, *_ in run.saved] == [3]


def test_a_stop_saves_without_validation_and_names_the_step():
    run = Run(range(1, 8), start=0, steps=7, stop=lambda step: step == 4)
    with pytest.raises(Stopped, match="after step 4"):
        run()
    assert run.saved == [(3, 3, {"accuracy": 0.25}), (4, 4, {})]
    assert ("train", 4) in [(group, step) for group, step, _ in run.scalars]
    run = Run(range(1, 8), start=0, steps=7, stop=lambda step: step == 3)
    with pytest.raises(Stopped):
        run()
    assert run.saved == [(3, 3, {"accuracy": 0.25})]


def test_steps_are_traced_where_the_profile_says(tmp_path):
    with StepProfile(tmp_path, 3, 2, 7) as profile:
        run = Run(range(1, 8), start=0, steps=7, profile=profile)()
    assert run.state.step == 7
    (file,) = tmp_path.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    assert {e["args"]["step_num"] for e in events if e.get("name") == "train"} == {"3", "4"}
    assert f"profile: a trace up to step 4 is in {tmp_path}" in run.out.getvalue()


def test_sigterm_asks_to_stop_once_and_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop(1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop(2)
    assert signal.getsignal(signal.SIGTERM) == before


def test_plain_lines_where_there_is_no_terminal():
    run = Run(range(1, 8), start=0, steps=7)()
    lines = run.out.getvalue().splitlines()
    assert lines[0].startswith("step 2/7, loss 1.500, ")
    assert lines[0].endswith("s left")
    assert "episodes/s" in lines[0]
    assert "step 3: validation accuracy 25.0%" in lines


def test_a_bar_on_a_terminal():
    out = io.StringIO()
    with TrainProgress(Console(file=out, force_terminal=True, width=120), 2, 10, 4) as progress:
        progress.advance(3)
        rate = progress.report(4, {"loss": 1.25, "accuracy": 0.5})
        progress.note("a note")
    assert rate > 0
    for text in ("4/10", "loss 1.250", "accuracy 0.500", "episodes/s", "a note"):
        assert text in out.getvalue()
