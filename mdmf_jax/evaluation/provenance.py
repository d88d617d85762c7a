"""Where results come from: versions, hardware and the name of the task."""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax

import mdmf_jax

_PACKAGES = {
    "jax": "jax",
    "jaxlib": "jaxlib",
    "flax": "flax",
    "optax": "optax",
    "orbax": "orbax-checkpoint",
    "numpy": "numpy",
}


RESULTS = "results.json"  # of a finished run, in its folder


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what it computes with."""
    installed = {name: metadata.version(package) for name, package in _PACKAGES.items()}
    return {"python": platform.python_version()} | installed | {"mdmf_jax": mdmf_jax.__version__}


def hardware() -> dict[str, Any]:
    """Kind and number of the devices, and the cores of the host."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "cpu_cores": os.cpu_count(),
    }


def task_name(way: int, shot: int) -> str:
    """Key of an evaluation, such as "5way_1shot"."""
    return f"{way}way_{shot}shot"


def with_split(values: Mapping[str, Any]) -> dict[str, Any]:
    """Results or settings as they are written today; version 0.1.0 called a split part."""
    return {"split" if name == "part" else name: value for name, value in values.items()}
