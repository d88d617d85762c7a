"""TensorBoard scalars."""

from collections.abc import Mapping
from pathlib import Path


class ScalarWriter:
    """Writes numbers by step for TensorBoard; with folder None it writes nothing."""

    def __init__(self, folder: Path | None):
        self._writer = None
        if folder is None:
            return
        # Imported here: it takes a moment, and evaluation alone does not need it.
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Writes each value as "group/name"."""
        for name, value in values.items() if self._writer else ():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Flushes and closes the file."""
        if self._writer:
            self._writer.close()
