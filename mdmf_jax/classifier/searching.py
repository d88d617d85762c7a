"""Search a folder of long videos, and go on where an earlier search stopped."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from mdmf_jax import files
from mdmf_jax.classifier.bundle import NAME
from mdmf_jax.classifier.folders import all_videos
from mdmf_jax.classifier.output import write_csv
from mdmf_jax.errors import DataError

if TYPE_CHECKING:
    from mdmf_jax.classifier.classifier import FewShotClassifier

HEADER = ("video", "start", "end", "label", "score")


class Journal:
    """What is done, a JSON line for each video after a first line that names the search.

    A line that a crash cut off is dropped.

    Raises:
      DataError: the file belongs to another search, or cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any]):
        self._path = path
        self.done: dict[str, list[list[Any]]] = {}
        lines = self._read()
        if lines and lines[0] != identity:
            raise DataError(
                f"{path} is of a search with another model or other settings; give another --out, "
                "or delete it"
            )
        self.done = {line["video"]: line["spans"] for line in lines[1:]}
        entries = [{"video": name, "spans": s} for name, s in self.done.items()]
        text = "".join(json.dumps(line) + "\n" for line in [identity, *entries])
        files.write_whole(self._path, text, DataError)

    def add(self, video: str, spans: list[list[Any]]) -> None:
        """Keeps the spans of a video; they are on the disk when this returns."""
        self.done[video] = spans
        with files.one_line(self._path, "written", DataError):
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"video": video, "spans": spans}) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def _read(self) -> list[dict[str, Any]]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._path}: cannot be read ({error}); delete it") from error
        lines = []
        for line in text.split("\n")[:-1]:  # what follows the last line break was cut off
            try:
                lines.append(json.loads(line))
            except ValueError:
                raise DataError(f"{self._path}: is damaged; delete it to start anew") from None
        return lines


def search_folder(
    classifier: "FewShotClassifier",
    model: str | Path,
    folder: str | Path,
    out: str | Path,
    *,
    window: float,
    stride: float,
    rate: float,
    strict: bool = False,
    console: Console | None = None,
) -> None:
    """Writes a CSV file with the spans of all videos in a folder and the folders in it.

    Args:
      model: the classifier's folder; a search goes on with the same model only.
      out: the CSV file; beside it, with .jsonl added to its name, lies what is done.
      strict: stop at the first video that cannot be used.

    Raises:
      UserError: no videos, another search's file, or with `strict` a bad video.
    """
    console = console or Console()
    videos, identity = all_videos(folder), _identity(model, window, stride, rate)
    journal = Journal(Path(f"{out}.jsonl"), identity)
    names = {path.relative_to(folder).as_posix(): path for path in videos}
    left = {name: path for name, path in names.items() if name not in journal.done}
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("searching", total=len(names), completed=len(names) - len(left))
        for name, path in left.items():
            try:
                found = classifier.search(path, window, stride, rate=rate)
            except DataError as error:
                if strict:
                    raise
                _say(console, f"skipped: {error}")
            else:
                for note in classifier.notes_:
                    _say(console, f"{name}: note: {note}")
                journal.add(name, [list(span) for span in found])
                _say(console, f"{name}: {len(found)} spans")
            progress.advance(task)
    rows = [(name, *span) for name in names for span in journal.done.get(name, [])]
    write_csv(out, HEADER, rows)
    _say(console, f"{len(rows)} spans in {len(journal.done)} of {len(names)} videos: {out}")


def _identity(model: str | Path, window: float, stride: float, rate: float) -> dict[str, Any]:
    digest = files.sha256_of(Path(model) / NAME)
    return {"model": digest, "window": window, "stride": stride, "rate": rate}


def _say(console: Console, line: str) -> None:
    console.print(escape(str(DataError(line))), highlight=False, soft_wrap=True)
