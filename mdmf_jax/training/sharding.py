"""Which device holds what: episodes over the mesh axis `data`, large matrices over `model`."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mdmf_jax.errors import ConfigError

# The first rule whose regular expression is found in a parameter's path decides; without one,
# or where a dimension does not divide, every device holds the whole parameter. Matrices come in
# pairs, split by columns and then by rows, so that one sum over `model` joins each pair.
RULES: tuple[tuple[str, P], ...] = (
    (r"/(q_proj|k_proj|v_proj|to_q|to_k|to_v|fc1)/kernel$", P(None, "model")),
    (r"/(out_proj|to_out|fc2)/kernel$", P("model", None)),
)

# Arrays of fewer numbers are not divided over `data`: putting them together costs more.
SMALL = 2**14


def device_mesh(
    episodes_per_step: int, model_devices: int = 1, devices: Sequence[Any] | None = None
) -> Mesh:
    """Mesh with the axes ("data", "model").

    `data` is as long as possible while it divides `episodes_per_step`, so that every device
    gets equally many episodes; devices that this leaves over are not used.

    Args:
      model_devices: length of the axis `model`.
      devices: those to use; all of them by default.

    Raises:
      ConfigError: the devices cannot be divided into groups of `model_devices`, or those of
        several processes not over the episodes.
    """
    devices = list(jax.devices() if devices is None else devices)
    if len(devices) % model_devices:
        raise ConfigError(
            f"train.model_devices is {model_devices}, but {len(devices)} devices cannot be "
            "divided by it"
        )
    most = len(devices) // model_devices
    data = max(n for n in range(1, most + 1) if episodes_per_step % n == 0)
    if data < most and len({device.process_index for device in devices}) > 1:
        raise ConfigError(
            f"train.episodes_per_step is {episodes_per_step}; with several processes it must be a "
            f"multiple of {most}, so that the devices of all have episodes"
        )
    return jax.make_mesh(
        (data, model_devices),
        ("data", "model"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices[: data * model_devices],
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, P())


def over_episodes(mesh: Mesh) -> NamedSharding:
    """The first axis is divided over `data`."""
    return NamedSharding(mesh, P("data"))


def tree_shardings(shapes: Any, mesh: Mesh, *, divide: bool = False) -> Any:
    """Shardings of a tree of shapes (parameters, or a whole train state) by path.

    Optimizer moments follow their parameter, because their path ends in the parameter's.

    Args:
      divide: divide large arrays over `data` as well, along their longest axis that divides.
    """

    def leaf(path, shape) -> NamedSharding:
        spec = _spec(path_name(path), shape.shape, mesh, RULES)
        return NamedSharding(mesh, _divided(spec, shape.shape, mesh) if divide else spec)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def path_name(path: Sequence[Any]) -> str:
    """A key path as text, such as "encoder/visual_projection/kernel"."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def _spec(name: str, shape: tuple[int, ...], mesh: Mesh, rules: Sequence[tuple[str, P]]) -> P:
    for pattern, spec in rules:
        if re.search(pattern, f"/{name}"):
            sizes = [1 if axis is None else mesh.shape[axis] for axis in spec]
            fits = len(spec) <= len(shape) and all(
                not size % parts for size, parts in zip(shape, sizes, strict=False)
            )
            return spec if fits else P()
    return P()


def _divided(spec: P, shape: tuple[int, ...], mesh: Mesh) -> P:
    """The spec with the longest axis that is free and divides over `data` added."""
    axes = [*spec, *[None] * (len(shape) - len(spec))]
    parts = mesh.shape["data"]
    free = [i for i, axis in enumerate(axes) if axis is None and not shape[i] % parts]
    if not free or math.prod(shape) < SMALL:
        return spec
    axes[max(free, key=lambda i: shape[i])] = "data"
    return P(*axes)
