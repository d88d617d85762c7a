"""One run at a time in a folder."""

import fcntl
import getpass
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from mdmf_jax.errors import CheckpointError

NAME = ".lock"


class FolderLock:
    """Holds a folder for this process. A context manager; makes the folder if it is absent.

    The operating system frees the lock when the process ends, however it ends. The file
    `.lock` that stays behind says who had it last.

    Raises:
      CheckpointError: another process holds it (the message names its owner), or the folder
        cannot be made or written to.
    """

    def __init__(self, folder: Path):
        self._folder = Path(folder)

    def __enter__(self) -> "FolderLock":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self._folder / NAME, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise CheckpointError(
                f"{self._folder} cannot be written to ({error.strerror}); take another folder"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            owner = " ".join(self._file.read(200).split()) or "another process"
            self._file.close()
            raise CheckpointError(
                f"{self._folder} is in use by {owner}; wait until it ends or take another folder"
            ) from None
        self._file.truncate(0)
        self._file.write(_owner() + "\n")
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _owner() -> str:
    """Who this process is, in words."""
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{_user()}, process {os.getpid()} on {socket.gethostname()} (since {started})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # A container's user may have no name.
        return f"user {os.getuid()}"
