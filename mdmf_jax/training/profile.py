"""A trace of some steps of the training, for a look at where the time goes."""

from typing import Any

import jax

from mdmf_jax import files
from mdmf_jax.errors import ConfigError
from mdmf_jax.training.spool import Spool

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

    def __init__(
        self,
        folder: files.AnyPath | None = None,
        first: int = 0,
        count: int = 1,
        steps: int = 0,
    ):
        if first > steps:
            raise ConfigError(
                f"train.profile_from is {first}, but the training has {steps} steps (train.steps)"
            )
        self._folder = folder if first else None
        self._first, self._last = first, min(first + count - 1, steps)
        self._spool: Spool | None = None  # while steps are recorded

    def __enter__(self) -> "StepProfile":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """The step is about to begin."""
        if self._folder and self._first <= step <= self._last and self._spool is None:
            self._spool = Spool(self._folder)
            # Without Python's own calls, which would fill the trace and slow the steps.
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0
            jax.profiler.start_trace(str(self._spool.folder), profiler_options=options)

    def after(self, step: int, result: Any) -> str | None:
        """The step was handed to the devices; what was recorded, if it was the last one.

        Args:
          result: arrays of the step, to wait for.
        """
        if self._spool is None or step < self._last:
            return None
        jax.block_until_ready(result)
        self._stop()
        return f"profile: a trace up to step {step} is in {self._folder}"

    def _stop(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            jax.profiler.stop_trace()
            spool.close()


def step_profile(train: Any, workdir: files.AnyPath | None) -> StepProfile:
    """What the section `train` of a config asks to trace.

    Args:
      workdir: None records nothing.

    Raises:
      ConfigError: as `StepProfile`.
    """
    folder = workdir / FOLDER if workdir else None
    return StepProfile(folder, train.profile_from, train.profile_steps, train.steps)
