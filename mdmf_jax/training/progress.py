"""What a person sees during training: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SHOWN = ("loss", "accuracy")


class TrainProgress:
    """Shows steps, loss, accuracy, episodes a second and the time left. A context manager.

    Args:
      start, total: steps done before, and steps in all.
      episodes_per_step: to turn steps into episodes.
      chance: accuracies that guessing gives, of "training" and "validation".
    """

    def __init__(
        self,
        console: Console,
        start: int,
        total: int,
        episodes_per_step: int,
        chance: Mapping[str, float] | None = None,
    ):
        self._chance = chance or {}
        self._console, self._start, self._total = console, start, total
        self._episodes = episodes_per_step
        self._begun = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", total=total, completed=start, shown="")

    def __enter__(self) -> "TrainProgress":
        self._begun = time.monotonic()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """A step is done."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def report(self, step: int, metrics: Mapping[str, float]) -> float:
        """Shows the metrics; returns the episodes a second since the start."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        rate = (step - self._start) * self._episodes / seconds
        shown = [f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics]
        if "accuracy" in metrics and "training" in self._chance:
            shown[-1] += f" (chance {self._chance['training']:.3f})"
        shown.append(f"{rate:.1f} episodes/s")
        if self._bar:
            self._bar.update(self._task, completed=step, shown=", ".join(shown))
        else:
            left = seconds / max(step - self._start, 1) * (self._total - step)
            line = ", ".join([f"step {step}/{self._total}", *shown, f"{left:.0f} s left"])
            self._console.print(line, highlight=False, soft_wrap=True)
        return rate

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the accuracy of a validation."""
        chance = self._chance.get("validation")
        beside = "" if chance is None else f" (chance {100 * chance:.1f}%)"
        self.note(f"step {step}: validation accuracy {100 * metrics['accuracy']:.1f}%{beside}")

    def note(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        self._console.print(text, highlight=False, soft_wrap=True)
