"""Deterministic tensors shared by both sides of a parity check.

Every tensor is a function of its name, its shape and a seed alone, drawn from
numpy's legacy RandomState, whose stream is frozen across numpy versions.
"""

import zlib

import numpy as np


def tensor(name, shape, *, mean=0.0, std=1.0, seed=0):
    """Normal float32 tensor of `shape`, a pure function of (name, shape, mean, std, seed)."""
    rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    return (mean + std * rng.standard_normal(size=tuple(shape))).astype(np.float32)


def state_dict(manifest, seed=0):
    """name -> float32 array for a manifest {name: {shape, mean, std, same_as?}}."""
    out = {}
    for name, m in manifest.items():
        src = m.get("same_as", name)
        m = manifest[src]
        out[name] = tensor(src, m["shape"], mean=m["mean"], std=m["std"], seed=seed)
    return out
