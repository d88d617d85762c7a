"""How JAX is set in the tests: fake devices, optimisation, and one folder of compiled programs.

Programs that the tests start inherit all of it from the environment.
"""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

REPOSITORY = Path(__file__).resolve().parents[1]
# Shared by all workers and the next run. JAX's key of a program covers its operations, the
# compiler's version, flags and options, and the processor: a program that changed has another key.
COMPILED = REPOSITORY / ".pytest_cache" / "compiled"
DEVICES = 8
LEVEL = "JAX_DISABLE_MOST_OPTIMIZATIONS"
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(COMPILED),
    # With a limit JAX locks the folder, so that several processes can write to it.
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2 * 2**30),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    LEVEL: "1",
}


def before_jax_starts() -> None:
    """Sets the environment, tidies the folder of compiled programs, has shapes checked."""
    os.environ.update(ENVIRONMENT)
    # Here and not by jaxtyping's option of pytest, which the workers of xdist do not see.
    install_import_hook("mdmf_jax.ops", "beartype.beartype")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        tidy(COMPILED)


def tidy(folder: Path) -> None:
    """Removes programs that a killed process left half written: they have no time of last use."""
    for program in folder.glob("*-cache"):
        if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
            program.unlink(missing_ok=True)


def choose_devices(items: list[pytest.Item]) -> None:
    """Eight fake devices if a test among those chosen needs several, else one.

    JAX reads the number when it first computes, which no test file does on import.
    """
    several = any(item.get_closest_marker("devices") for item in items)
    flag = f"--xla_force_host_platform_device_count={DEVICES if several else 1}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def choose_level(item: pytest.Item) -> None:
    """Full optimisation for the marker `optimised`, else little: it compiles in half the time.

    Functions compiled before at another level are forgotten.
    """
    import jax

    level = "0" if item.get_closest_marker("optimised") else "1"
    if os.environ[LEVEL] != level:
        os.environ[LEVEL] = level
        jax.config.update(LEVEL.lower(), level == "1")
        jax.clear_caches()


def check_devices(item: pytest.Item) -> None:
    import jax

    if item.get_closest_marker("devices") and jax.device_count() != DEVICES:
        pytest.fail(f"{jax.device_count()} devices instead of {DEVICES}: JAX started too early")
