"""A folder for files that grow, which gs:// does not know: they grow on a disk and are copied.

Apart from what uses it, because TensorBoard's files, metrics.jsonl and traces all need it.
"""

import tempfile
from pathlib import Path

from mdmf_jax import files

ADVICE = "make room or mend the folder and start again"


class Spool:
    """The folder itself, or a temporary one in its place if it lies on gs://.

    Args:
      place: the folder.
      names: files of it to begin with, those that are there.

    Attributes:
      folder: to write into.

    Raises:
      UserError: a file cannot be read.
    """

    def __init__(self, place: files.AnyPath, names: tuple[str, ...] = ()):
        self._place, self._temporary = place, None
        self.folder = Path(place) if not files.is_cloud(place) else self._fetched(names)

    def copy(self) -> None:
        """Brings what was written to where it belongs; to be called now and then.

        Raises:
          UserError: it cannot be written.
        """
        if self._temporary is None:
            return
        for file in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            name = file.relative_to(self.folder).as_posix()
            files.write_whole(self._place / name, file.read_bytes(), advice=ADVICE)

    def close(self) -> None:
        """Copies for the last time."""
        try:
            self.copy()
        finally:
            self._forget()

    def _forget(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _fetched(self, names: tuple[str, ...]) -> Path:
        self._temporary = tempfile.TemporaryDirectory(prefix="mdmf_jax_")
        folder = Path(self._temporary.name)
        try:
            for name in names:
                with files.one_line(self._place / name, "read"):
                    if (self._place / name).exists():
                        files.write_whole(folder / name, (self._place / name).read_bytes())
        except BaseException:
            self._forget()
            raise
        return folder
