"""Stopping when the machine is taken away: SIGTERM, as schedulers send it before they kill."""

import signal
from types import FrameType, TracebackType

import jax
from jax.experimental import multihost_utils


class StopSignal:
    """Notices SIGTERM. A context manager; asked after every step whether to stop.

    With several processes, JAX notices the signal in whichever process gets it, and all agree on
    the step after which they stop.
    """

    def __enter__(self) -> "StopSignal":
        self._asked = False
        self._alone = jax.process_count() == 1
        if self._alone:
            self._before = signal.signal(signal.SIGTERM, self._notice)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._alone:
            signal.signal(signal.SIGTERM, self._before)

    def __call__(self, step: int) -> bool:
        """Whether to stop after this step; every process must ask after every step."""
        if self._alone:
            return self._asked
        return multihost_utils.reached_preemption_sync_point(step)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
