"""A trace of some steps of the training, for a look at where the time goes."""

from pathlib import Path
from typing import Any

import jax

from mdmf_jax.errors import ConfigError

FOLDER = "profile"


class StepProfile:
    """Records the steps first..first+count-1 into `folder`. A context manager.

    A run that goes on inside these steps records the rest of them.

    Args:
      folder: None records nothing.
      first: 0 records nothing.
      count: of steps.
      steps: of the whole training.

    Raises:
      ConfigError: the training has no such step.
    """

    def __init__(self, folder: Path | None = None, first: int = 0, count: int = 1, steps: int = 0):
        if first > steps:
            raise ConfigError(
                f"train.profile_from is {first}, but the training has {steps} steps (train.steps)"
            )
        self._folder = folder if first else None
        self._first, self._last = first, min(first + count - 1, steps)
        self._running = False

    def __enter__(self) -> "StepProfile":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """The step is about to begin."""
        if self._folder and self._first <= step <= self._last and not self._running:
            # Without Python's own calls, which would fill the trace and slow the steps.
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0
            jax.profiler.start_trace(str(self._folder), profiler_options=options)
            self._running = True

    def after(self, step: int, result: Any) -> str | None:
        """The step was handed to the devices; what was recorded, if it was the last one.

        Args:
          result: arrays of the step, to wait for.
        """
        if not self._running or step < self._last:
            return None
        jax.block_until_ready(result)
        self._stop()
        return f"profile: a trace up to step {step} is in {self._folder}"

    def _stop(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()


def step_profile(train: Any, workdir: Path | None) -> StepProfile:
    """What the section `train` of a config asks to trace.

    Args:
      workdir: None records nothing.

    Raises:
      ConfigError: as `StepProfile`.
    """
    folder = workdir / FOLDER if workdir else None
    return StepProfile(folder, train.profile_from, train.profile_steps, train.steps)
