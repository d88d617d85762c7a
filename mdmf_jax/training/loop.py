"""The train loop."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax.errors import Stopped, UserError
from mdmf_jax.training.profile import StepProfile
from mdmf_jax.training.progress import TrainProgress
from mdmf_jax.training.scalars import ScalarWriter
from mdmf_jax.training.state import TrainState

Step = Callable[[TrainState, Any], tuple[TrainState, Mapping[str, jax.Array]]]


def train_loop(
    state: TrainState,
    step: Step,
    batches: Iterable[Any],
    *,
    start: int,
    steps: int,
    log_every: int,
    validate_every: int,
    episodes_per_step: int,
    max_skipped: int,
    stop: Callable[[int], bool],
    validate: Callable[[Any], Mapping[str, float]],
    save: Callable[[int, TrainState, Mapping[str, float]], None],
    scalars: ScalarWriter,
    progress: TrainProgress,
    profile: StepProfile | None = None,
) -> tuple[TrainState, list[dict[str, float]]]:
    """Trains from step `start` to step `steps`.

    Every `validate_every` steps, and at the end, the state is validated and saved. When `stop`
    says so it is saved without a validation.

    Args:
      step: (state, batch) -> (state, metrics); consumes the state.
      batches: one batch a step, beginning with that of step `start`.
      episodes_per_step: to name the episodes of a step that fails.
      max_skipped: steps without a finite loss and gradient that may be left out.
      stop: number of steps done -> whether to end here.
      validate: parameters to test -> metrics, among them "accuracy".
      save: stores (step, state, validation metrics).
      profile: which steps to trace; none by default.

    Returns:
      The final state, and the metrics of every step done here.

    Raises:
      UserError: there were too many steps without a finite loss and gradient; the metrics are
        written, nothing is saved after that.
      Stopped: `stop` said so; the state is saved.
    """
    history: list[dict[str, float]] = []
    pending: list[Mapping[str, jax.Array]] = []
    profile = profile or StepProfile()
    for done, batch in zip(range(start + 1, steps + 1), batches, strict=False):
        profile.before(done)
        with jax.profiler.StepTraceAnnotation("train", step_num=done):
            state, metrics = step(state, batch)
            if pending:  # At most two batches wait on the device.
                jax.block_until_ready(pending[-1])
        pending.append(metrics)
        progress.advance(done)
        recorded = profile.after(done, metrics)
        if recorded:
            progress.note(recorded)

        stopping = stop(done)
        due = done % validate_every == 0 or done == steps
        if due or stopping or done % log_every == 0:
            fetched = _fetch(pending, done)
            history += fetched
            pending = []
            means = {name: float(np.mean([m[name] for m in fetched])) for name in metrics}
            rate = progress.report(done, means)
            scalars.write("train", done, means | {"episodes_per_second": rate})
            _check_skipped(fetched, episodes_per_step, max_skipped, progress)
        if due:
            result = dict(validate(state.tested))
            progress.validated(done, result)
            scalars.write("validation", done, result)
            save(done, state, result)
        if stopping and done < steps:
            if not due:
                save(done, state, {})
            raise Stopped(f"stopped by SIGTERM after step {done}; the same command goes on there")
    return state, history


def _fetch(pending: list[Mapping[str, jax.Array]], last: int) -> list[dict[str, float]]:
    """Metrics of the newest steps as numbers."""
    numbered = enumerate(jax.device_get(pending), last - len(pending) + 1)
    return [
        {"step": step} | {k: float(v) for k, v in metrics.items()} for step, metrics in numbered
    ]


def _check_skipped(
    fetched: list[dict[str, float]], episodes: int, most: int, progress: TrainProgress
) -> None:
    """Reports the steps that changed nothing; UserError once they are too many.

    "skipped" counts them; after one too many the step itself changes nothing any more.
    """
    for metrics in fetched:
        if metrics["updated"]:
            continue
        step = metrics["step"]
        what = (
            f"step {step}, with the episodes {(step - 1) * episodes} to {step * episodes - 1}, has "
            f"no finite loss and gradient (loss {metrics['loss']})"
        )
        if metrics["skipped"] > most:
            others = f", and {most} such steps were left out before it" if most else ""
            raise UserError(
                f"{what}{others}; it was not applied. Use a lower train.learning_rate, or leave "
                "out more such steps with train.on_nan=skip and train.max_skipped (the last "
                "checkpoint is unharmed)"
            )
        progress.note(f"WARNING: {what}; it was left out ({metrics['skipped']:.0f} so far)")
