"""Keep a generated data set in a folder: made once, whole or absent, checked at every start."""

import contextlib
import fcntl
import io
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from mdmf_jax import files
from mdmf_jax.errors import DataError

MANIFEST = "manifest.json"
FRAME_RATE = 12

Maker = Callable[[], bytes]
checksum = zlib.crc32


def encode_mp4(frames: np.ndarray) -> bytes:
    """An H.264 file (.mp4, libx264, 12 frames a second) of uint8 frames [N, H, W, 3]."""
    buffer = io.BytesIO()
    # The same bytes every time: one encoder thread, and no B-frames, whose placing libx264
    # decides differently from run to run in pictures as small as these.
    options = {"preset": "veryfast", "crf": "20", "threads": "1", "bf": "0"}
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def ensure(root: Path, identity: dict, makers: dict[str, Maker], workers: int) -> None:
    """Make `root` hold what `makers` make, and do nothing if it does already.

    Args:
      root: folder of the data set; its parent also gets a lock file.
      identity: what the content depends on; a manifest with another one counts as missing.
      makers: for each file, relative to `root`, a function that returns its bytes.
      workers: number of threads.
    """
    if damaged_files(root, _read_manifest(root, identity, makers)) == []:
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with _lock(root.parent / f".{root.name}.lock"):
        manifest = _read_manifest(root, identity, makers)
        damaged = damaged_files(root, manifest)
        if manifest is None:
            _make_all(root, identity, makers, workers)
        elif damaged:
            chosen = {name: makers[name] for name in damaged}
            message = f"repairing {len(chosen)} files in {root}"
            manifest["files"] |= _make(root, chosen, workers, message)
            _write_manifest(root, manifest)


def damaged_files(root: Path, manifest: dict | None) -> list[str] | None:
    """Files of the manifest that are missing or differ in size or checksum; None without one."""
    if manifest is None:
        return None
    return [name for name, entry in manifest["files"].items() if not _intact(root / name, entry)]


def _intact(path: Path, entry: list[int]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return [len(content), checksum(content)] == entry


def _read_manifest(root: Path, identity: dict, makers: dict[str, Maker]) -> dict | None:
    """The manifest, or None if it is missing, unreadable or of other content."""
    try:
        manifest = files.read_json(root / MANIFEST, DataError)
    except DataError:
        return None
    if manifest.get("identity") != identity:
        return None
    listed = manifest.get("files")
    return manifest if isinstance(listed, dict) and listed.keys() == makers.keys() else None


def _write_manifest(root: Path, manifest: dict) -> None:
    files.write_json(root / MANIFEST, manifest, indent=0)


def _make_all(root: Path, identity: dict, makers: dict[str, Maker], workers: int) -> None:
    """Make every file in a temporary folder beside `root`, then put it in the place of `root`."""
    for leftover in root.parent.glob(f".{root.name}.*.tmp"):
        shutil.rmtree(leftover)  # of a process that was killed; we hold the lock
    with files.whole_folder(root, DataError, replace=True) as new:
        made = _make(new, makers, workers, f"making {len(makers)} files in {root}")
        _write_manifest(new, {"identity": identity, "files": made})


def _make(root: Path, makers: dict[str, Maker], workers: int, message: str) -> dict[str, list[int]]:
    """Write the files in threads (drawing and encoding release Python's lock); size and sum."""

    def work(name: str) -> list[int]:
        content = makers[name]()
        files.write_whole(root / name, content, DataError)
        return [len(content), checksum(content)]

    begin = time.monotonic()
    sys.stderr.write(f"demo data: {message} ...")
    sys.stderr.flush()
    pool = ThreadPoolExecutor(workers)
    try:
        entries = list(pool.map(work, makers))
    finally:
        pool.shutdown(cancel_futures=True)
        sys.stderr.write(f" {time.monotonic() - begin:.0f} s\n")
    return dict(zip(makers, entries, strict=True))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path` locked; the system frees the lock even if the process is killed."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
