"""Results of a command that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdmf_jax.errors import WeightsError


def check_new(path: str | Path) -> None:
    """Raises WeightsError if something lies at `path` already (an empty folder may)."""
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise WeightsError(f"{path} exists already; give a new folder")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `path` if the block ends without an exception.

    Raises:
        WeightsError: something lies at `path` already, or it cannot be written.
    """
    check_new(path)
    path = Path(path).absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writable(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """The same for a file, which may replace an older one."""
    path = Path(path).absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writable(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            # Some writers make files that nobody else may read.
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written ({error.strerror or error})") from error


def _umask() -> int:
    mask = os.umask(0)  # the only way to ask for it
    os.umask(mask)
    return mask
