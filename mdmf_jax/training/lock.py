"""One run at a time in a folder.

On a disk the operating system holds the lock, and frees it when the process ends, however it
ends. Cloud Storage has no such thing. There the lock is an object that names its owner, and that
a thread of the owner renews every minute; one that was not renewed for five minutes is of a run
that was killed, and counts for nothing. Of several runs that start at once Cloud Storage lets one
create the object; only where all of them find the lock of a killed run may two go on.
"""

import contextlib
import fcntl
import getpass
import json
import os
import secrets
import socket
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from mdmf_jax import files
from mdmf_jax.errors import CheckpointError, UserError

NAME = ".lock"
RENEWED = 60.0  # seconds between two signs of life on gs://
DEAD = 300.0  # seconds without one after which a run counts as killed


def folder_lock(folder: files.Name) -> AbstractContextManager:
    """Holds a folder for this process; makes the folder if it is absent.

    Raises:
      CheckpointError: another process holds it (the message names its owner), or the folder
        cannot be made or written to.
    """
    place = files.path(folder)
    return FolderLock(place) if isinstance(place, Path) else CloudLock(place)


class FolderLock:
    """Holds a folder on a disk; see `folder_lock`.

    The file `.lock` that stays behind says who had it last.
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


class CloudLock:
    """Holds a folder on gs://; see `folder_lock` and the top of this module."""

    def __init__(self, folder: files.AnyPath):
        self._folder, self._place = folder, folder / NAME
        self._content = {"owner": _owner(), "token": secrets.token_hex(8)}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "CloudLock":
        if found := self._found():
            if _living(found):
                raise self._held_by(found)
            self._place.unlink(missing_ok=True)
        self._create()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()
        if (self._found() or {}).get("token") == self._content["token"]:
            self._place.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            with contextlib.suppress(UserError):  # the next minute may do better
                self._write()

    def _write(self) -> None:
        files.write_whole(self._place, self._text(), CheckpointError)

    def _create(self) -> None:
        """Writes it for the first time, which only one process can."""
        with files.one_line(self._place, "written", CheckpointError):
            try:
                files.cloud().pipe_file(str(self._place), self._text().encode(), mode="create")
            except FileExistsError:
                raise self._held_by(self._found() or {}) from None

    def _text(self) -> str:
        return json.dumps(self._content | {"time": time.time()})

    def _found(self) -> dict | None:
        """What the object holds; None if there is none."""
        try:
            return files.read_json(self._place, CheckpointError)
        except CheckpointError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _held_by(self, found: dict) -> CheckpointError:
        owner = found.get("owner", "another process")
        return CheckpointError(
            f"{self._folder} is in use by {owner}; wait until it ends ({DEAD:.0f} s if it was "
            "killed) or take another folder"
        )


def _living(found: dict) -> bool:
    return time.time() - float(found.get("time", 0)) < DEAD


def _owner() -> str:
    """Who this process is, in words."""
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{_user()}, process {os.getpid()} on {socket.gethostname()} (since {started})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # A container's user may have no name.
        return f"user {os.getuid()}"
