"""The train loop."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax.errors import UserError
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
    validate: Callable[[Any], Mapping[str, float]],
    save: Callable[[int, TrainState, Mapping[str, float]], None],
    scalars: ScalarWriter,
    progress: TrainProgress,
) -> tuple[TrainState, list[dict[str, float]]]:
    """Trains from step `start` to step `steps`.

    Every `validate_every` steps, and at the end, the state is validated and saved.

    Args:
      step: (state, batch) -> (state, metrics); consumes the state.
      batches: one batch a step, beginning with that of step `start`.
      validate: parameters -> metrics, among them "accuracy".
      save: stores (step, state, validation metrics).

    Returns:
      The final state, and the metrics of every step done here.

    Raises:
      UserError: the loss is no longer a finite number; nothing is saved after that.
    """
    history: list[dict[str, float]] = []
    pending: list[Mapping[str, jax.Array]] = []
    for done, batch in zip(range(start + 1, steps + 1), batches, strict=False):
        state, metrics = step(state, batch)
        if pending:  # At most two batches wait on the device.
            jax.block_until_ready(pending[-1])
        pending.append(metrics)
        progress.advance(done)

        due = done % validate_every == 0 or done == steps
        if due or done % log_every == 0:
            fetched = _fetch(pending, done)
            history += fetched
            pending = []
            means = {name: float(np.mean([m[name] for m in fetched])) for name in metrics}
            rate = progress.report(done, means)
            scalars.write("train", done, means | {"episodes_per_second": rate})
        if due:
            result = dict(validate(state.params))
            progress.note(f"step {done}: validation accuracy {100 * result['accuracy']:.1f}%")
            scalars.write("validation", done, result)
            save(done, state, result)
    return state, history


def _fetch(pending: list[Mapping[str, jax.Array]], last: int) -> list[dict[str, float]]:
    """Metrics of the newest steps as numbers; checks that the losses are finite."""
    fetched = []
    for step, metrics in enumerate(jax.device_get(pending), last - len(pending) + 1):
        if not math.isfinite(metrics["loss"]):
            raise UserError(
                f"the loss of step {step} is {metrics['loss']}; use a lower "
                "train.learning_rate (the last checkpoint is unharmed)"
            )
        fetched.append({"step": step} | {name: float(v) for name, v in metrics.items()})
    return fetched
