"""The one way to write a file or folder whole, to hash, and to read JSON; paths may be gs://.

Whole: a reader, also after a crash or a power cut, finds the old content or the new one. On a
disk that is a temporary name in the same folder, fsync, and a rename; the mode is what the umask
gives. On gs:// an object appears whole by itself.

What goes wrong becomes one line of the class `error` that the caller names, ending in `advice`.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from mdmf_jax.errors import ConfigError, UserError

if TYPE_CHECKING:
    from etils import epath
    from fsspec import AbstractFileSystem

# Without this, epath imports TensorFlow to reach gs://; it looks once, at its first path.
os.environ.setdefault("EPATH_USE_TF", "false")

CLOUD = "gs://"
# A path on a disk is a pathlib.Path, one on gs:// an epath.Path, which has the same methods.
AnyPath: TypeAlias = Union[pathlib.Path, "epath.Path"]  # noqa: UP007
Name: TypeAlias = str | os.PathLike[str]
Error: TypeAlias = type[UserError]


def path(name: Name) -> AnyPath:
    """The path of that name; `pathlib.Path` would take gs://bucket for a local folder.

    Raises:
      ConfigError: gs:// needs a package that is missing.
    """
    if not is_cloud(name):
        return pathlib.Path(name)
    try:
        import gcsfs  # noqa: F401 (epath imports it at the first access)
        from etils import epath
        from fsspec.config import conf
    except ImportError as error:
        raise ConfigError(
            f"{name}: gs:// needs gcsfs, which cannot be imported; install mdmf_jax[gcs]"
        ) from error
    # Others write there, too: what a folder held a moment ago is not remembered.
    conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return epath.Path(name)


def cloud() -> "AbstractFileSystem":
    """What Cloud Storage offers beyond the methods of a path."""
    path(CLOUD)
    import fsspec

    return fsspec.filesystem("gcs")


def is_cloud(name: Name) -> bool:
    """Whether the path is one of Cloud Storage."""
    return os.fspath(name).startswith(CLOUD)


def cache_folder() -> pathlib.Path:
    """For data kept between runs: $MDMF_CACHE, or mdmf_jax in $XDG_CACHE_HOME or in ~/.cache."""
    if named := os.environ.get("MDMF_CACHE"):
        return pathlib.Path(named).expanduser()
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mdmf_jax"


@contextlib.contextmanager
def one_line(name: Name, what: str, error: Error = UserError, advice: str = "") -> Iterator[None]:
    """Turns a failure to reach a file into one line, such as "x: cannot be read (reason)".

    Args:
      what: "read" or "written".
    """
    try:
        yield
    except UserError:
        raise
    except Exception as problem:
        if not isinstance(problem, OSError) and not (is_cloud(name) and _is_remote(problem)):
            raise
        raise error(f"{name}: {_fault(problem, what)}{advice and '; '}{advice}") from problem


def write_whole(name: Name, data: bytes | str, error: Error = UserError, advice: str = "") -> None:
    """Writes a file whole or not at all; makes its folder if need be. Text becomes UTF-8.

    Raises:
      UserError: it cannot be written.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")  # names of files may be any bytes
    if is_cloud(name):
        with one_line(name, "written", error, advice):
            path(name).write_bytes(data)
        return
    with whole_file(name, error, advice) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def whole_file(name: Name, error: Error = UserError, advice: str = "") -> Iterator[pathlib.Path]:
    """A temporary file, empty, that becomes the file if the block ends without an exception.

    It lies on a disk, also for a file on gs://.

    Raises:
      UserError: it cannot be written.
    """
    if is_cloud(name):
        with tempfile.TemporaryDirectory() as folder:
            temporary = pathlib.Path(folder, "file")
            temporary.touch()
            yield temporary
            write_whole(name, temporary.read_bytes(), error, advice)
        return
    place = pathlib.Path(name).absolute()
    temporary = _beside(place)
    with one_line(name, "written", error, advice):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            mode = temporary.stat().st_mode & 0o777  # what the umask gave
            yield temporary
            temporary.chmod(mode)  # some writers make a file of their own, for nobody else
            _sync(temporary)
            os.replace(temporary, place)
            _sync(place.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def check_new(name: Name, error: Error = UserError) -> None:
    """Raises `error` if something lies there already (an empty folder may)."""
    place = path(name)
    if place.exists() and not is_empty(place):
        raise error(f"{name} exists already; give a new folder")


@contextlib.contextmanager
def whole_folder(
    name: Name, error: Error = UserError, advice: str = "", *, replace: bool = False
) -> Iterator[pathlib.Path]:
    """A temporary folder that becomes the folder if the block ends without an exception.

    Args:
      replace: an older folder may lie there; it stays if anything goes wrong.

    Raises:
      UserError: something lies there already, or it cannot be written.
    """
    if is_cloud(name):
        raise error(f"{name}: such a folder is written on a disk only; write it there and copy it")
    if not replace:
        check_new(name, error)
    place = pathlib.Path(name).absolute()
    temporary = _beside(place)
    with one_line(name, "written", error, advice):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            put_in_place(temporary, place)
        except UserError as problem:  # about a file in it: the temporary name would say nothing
            raise type(problem)(str(problem).replace(str(temporary), str(name))) from problem
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(
    name: Name, content: Any, error: Error = UserError, advice: str = "", indent: int | None = 2
) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    write_whole(name, json.dumps(content, indent=indent) + "\n", error, advice)


def read_whole(name: Name, error: Error = UserError, advice: str = "") -> bytes:
    """The content of a file as it was at one moment.

    Raises:
      UserError: it cannot be read.
    """
    with one_line(name, "read", error, advice):
        if is_cloud(name):
            content: Any = cloud().cat_file(str(name))
            return content
        return pathlib.Path(name).read_bytes()


def read_json(name: Name, error: Error = UserError, advice: str = "") -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      UserError: the file is missing or holds something else.
    """
    data = read_whole(name, error, advice)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise error(f"{name}: not valid JSON ({problem}){advice and '; '}{advice}") from problem
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise error(f"{name}: expected a JSON object, found {kind}{advice and '; '}{advice}")
    return content


def sha256(pieces: bytes | Iterable[bytes]) -> str:
    """SHA-256 of bytes, or of pieces one after the other."""
    found = hashlib.sha256()
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        found.update(piece)
    return found.hexdigest()


def sha256_of(name: Name, error: Error = UserError, advice: str = "") -> str:
    """SHA-256 of a file's content.

    Raises:
      UserError: it cannot be read.
    """
    with one_line(name, "read", error, advice), path(name).open("rb") as file:
        return sha256(iter(lambda: file.read(2**20), b""))


def git_sha1_of(name: Name, error: Error = UserError, advice: str = "") -> str:
    """SHA-1 of a file's content as Git counts it, with its kind and size before it.

    Raises:
      UserError: it cannot be read.
    """
    with one_line(name, "read", error, advice), path(name).open("rb") as file:
        found = hashlib.sha1(b"blob %d\0" % size_of(path(name)), usedforsecurity=False)
        for piece in iter(lambda: file.read(2**20), b""):
            found.update(piece)
    return found.hexdigest()


def digest(content: Any) -> str:
    """SHA-256 of plain data for JSON; the order of keys does not matter."""
    return sha256(json.dumps(content, sort_keys=True).encode())


def size_of(place: AnyPath) -> int:
    """Size of a file, bytes."""
    return place.stat().st_size if isinstance(place, pathlib.Path) else place.stat().length


def is_empty(folder: AnyPath) -> bool:
    """Whether it is a folder and holds nothing."""
    return folder.is_dir() and not any(folder.iterdir())


def _beside(place: pathlib.Path) -> pathlib.Path:
    """A new hidden name in the same folder; it tells the process."""
    return place.with_name(f".{place.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def put_in_place(temporary: pathlib.Path, place: pathlib.Path) -> None:
    """Renames what was written whole, once it is on the disk; an older folder goes."""
    if temporary.is_dir():
        _sync_all(temporary)
    else:
        _sync(temporary)
    _rename(temporary, place)
    _sync(place.parent)


def _rename(temporary: pathlib.Path, place: pathlib.Path) -> None:
    if not place.exists() or place.is_file() or is_empty(place):
        os.replace(temporary, place)
        return
    os.replace(place, old := _beside(place))
    try:
        os.replace(temporary, place)
    except BaseException:
        os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync(place: pathlib.Path) -> None:
    """Returns when a file's content, or the names in a folder, are on the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # some network file systems cannot do it for folders
            raise
    finally:
        os.close(handle)


def _sync_all(folder: pathlib.Path) -> None:
    for root, _, names in os.walk(folder):
        for name in (*names, "."):
            _sync(pathlib.Path(root, name))


def _fault(problem: Exception, what: str) -> str:
    if what == "read" and isinstance(problem, FileNotFoundError):
        return "no such file"
    text = getattr(problem, "strerror", None) or " ".join(str(problem).split())[:200]
    return f"cannot be {what} ({text or type(problem).__name__})"


def _is_remote(problem: Exception) -> bool:
    """Whether an exception comes from the packages that reach gs://."""
    known = {"aiohttp", "gcsfs", "google", "requests"}
    return any(cls.__module__.partition(".")[0] in known for cls in type(problem).__mro__)
