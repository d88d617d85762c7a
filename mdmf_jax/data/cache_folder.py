"""Where generated and computed data are kept between runs."""

import os
from pathlib import Path


def default_cache() -> Path:
    """$MDMF_CACHE, or mdmf_jax in $XDG_CACHE_HOME or in ~/.cache."""
    if named := os.environ.get("MDMF_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mdmf_jax"
