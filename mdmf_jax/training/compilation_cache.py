"""Compiled programs are kept on disk, so that the next run of the same sizes starts at once."""

import os
import sys
from pathlib import Path

from mdmf_jax import files

# JAX's names of the folder, of the least compile time and of the least size kept.
FOLDER = "JAX_COMPILATION_CACHE_DIR"
LIMITS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0.0,
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
}


def cache_folder() -> Path | None:
    """$MDMF_COMPILATION_CACHE, or `compiled` in the cache folder; None if that says "off"."""
    chosen = os.environ.get("MDMF_COMPILATION_CACHE", "")
    if chosen.lower() == "off":
        return None
    return Path(chosen).expanduser() if chosen else files.cache_folder() / "compiled"


def switch_on() -> None:
    """Keeps all programs that this process and its children compile from now on.

    What JAX's own environment variables say comes first. A folder that cannot be written to
    costs a warning of JAX for each program, nothing else.
    """
    folder = cache_folder()
    if folder is None or FOLDER in os.environ:
        return
    for name, value in {FOLDER: str(folder), **LIMITS}.items():
        if name not in os.environ:
            os.environ[name] = str(value)
            if "jax" in sys.modules:  # JAX reads the environment when it is imported.
                sys.modules["jax"].config.update(name.lower(), value)
