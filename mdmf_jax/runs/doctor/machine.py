"""Checks of devices, memory, and the folders that are written to."""

import os
import shutil
import tempfile
from pathlib import Path

from mdmf_jax.files import cache_folder
from mdmf_jax.runs.doctor.check import OK, PROBLEM, WARNING, Check
from mdmf_jax.training import compilation_cache

GIB = 2**30
LEAST_MEMORY = 2 * GIB  # training the demo takes 1.5
LEAST_DISK = GIB
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")
# What shows that an accelerator is there, its name in jax, and how to get jax for it.
_ACCELERATORS = (
    ("/dev/nvidia0", "gpu", "an NVIDIA GPU", 'pip install "jax[cuda13]" (or "jax[cuda12]")'),
    ("/dev/accel0", "tpu", "a TPU", 'pip install "jax[tpu]"'),
)


def devices() -> Check:
    """The devices that jax sees, and accelerators that it does not."""
    import jax

    found = jax.devices()
    first = found[0]
    line = f"{len(found)} x {first.device_kind} ({first.platform})"
    limit = (first.memory_stats() or {}).get("bytes_limit")
    if limit:
        line += f", {limit / GIB:.0f} GiB each"
    for sign, name, words, mend in _ACCELERATORS:
        if Path(sign).exists() and first.platform != name and not _chosen():
            return Check("devices", WARNING, f"{words} is there, but jax uses {line}", mend)
    return Check("devices", OK, line)


def _chosen() -> bool:
    """Whether the user has chosen the platform."""
    return bool(os.environ.get("JAX_PLATFORMS"))


def memory() -> Check:
    """Cores and memory of the host."""
    cores, free = os.cpu_count() or 1, available_memory()
    if free is None:
        return Check("memory", OK, f"{cores} cores; free memory is not known here")
    line = f"{free / GIB:.1f} GiB free, {cores} cores"
    if free < LEAST_MEMORY:
        mend = "end other programs, or use a machine with more memory"
        return Check("memory", WARNING, f"{line}; training the demo needs 2 GiB", mend)
    return Check("memory", OK, line)


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that programs can still take (Linux; a container's limit counts), or None."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    limit = cgroup.read_text().strip() if cgroup.is_file() else "max"
    return min(free, int(limit)) if limit.isdigit() else free


def cache() -> Check:
    """The folder of generated data and features."""
    return folder_check("cache folder", cache_folder(), "set MDMF_CACHE to another folder")


def compiled() -> Check:
    """The folder of compiled programs."""
    name = "compiled programs"
    folder = os.environ.get(compilation_cache.FOLDER) or compilation_cache.cache_folder()
    if not folder:
        mend = "unset MDMF_COMPILATION_CACHE"
        return Check(name, WARNING, "are not kept, so that every start compiles again", mend)
    check = folder_check(name, Path(folder), "set MDMF_COMPILATION_CACHE to another folder")
    if check.state == PROBLEM:  # jax goes on without
        return Check(name, WARNING, check.found, check.mend)
    return check


def folder_check(name: str, folder: Path, mend: str) -> Check:
    """Whether a folder can be written to, now or once it is made, and what is free on its disk."""
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
        free = shutil.disk_usage(place).free
    except OSError as error:
        reason = error.strerror or str(error)
        return Check(name, PROBLEM, f"{folder}: cannot be written ({reason})", mend)
    line = f"{folder}: {free / GIB:.1f} GiB free"
    if free < LEAST_DISK:
        return Check(name, WARNING, line, f"delete files, or {mend}")
    return Check(name, OK, line)
