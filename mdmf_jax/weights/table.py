"""Strict conversion of named tensors by a table, in both directions.

A `Rule` says which source tensor becomes which parameters, and how. Conversion insists that
every source tensor is used once or ignored for a stated reason, that every parameter is filled,
and that all shapes fit; it reports everything that is wrong at once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import WeightsError

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Transform:
    """An invertible change of layout: one source tensor of `ndim` axes to one or more arrays."""

    ndim: int
    forward: Callable[[np.ndarray], Arrays]
    inverse: Callable[..., np.ndarray]


def keep(ndim: int) -> Transform:
    """The tensor as it is."""
    return Transform(ndim, lambda x: (x,), lambda x: x)


def transpose(*axes: int) -> Transform:
    """Axis i of the parameter is axis `axes[i]` of the source, as in `numpy.transpose`."""
    back = tuple(np.argsort(axes))
    return Transform(len(axes), lambda x: (x.transpose(axes),), lambda x: x.transpose(back))


def split(ndim: int, parts: int) -> Transform:
    """Equal parts along axis 0; matrices are transposed as well ([out, in] to [in, out])."""

    def forward(x: np.ndarray) -> Arrays:
        return tuple(part.T for part in np.array_split(x, parts))

    return Transform(ndim, forward, lambda *xs: np.concatenate([x.T for x in xs]))


@dataclass(frozen=True)
class Rule:
    """`source` tensor -> `targets` (paths joined by "/"); `*` stands for the same layer number."""

    source: str
    targets: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True)
class Ignored:
    """Source tensors that are read over; `reason` is for the reader of the table."""

    source: str
    reason: str


def rule(source: str, targets: str | tuple[str, ...], transform: Transform) -> Rule:
    """A `Rule`; one target may be given as a string."""
    return Rule(source, (targets,) if isinstance(targets, str) else targets, transform)


def to_params(
    tensors: Mapping[str, np.ndarray],
    rules: Sequence[Rule],
    template: Mapping[str, Any],
    *,
    ignored: Sequence[Ignored] = (),
    origin: str,
) -> dict[str, Any]:
    """Float32 parameters from source tensors.

    Args:
      tensors: source name -> array.
      rules: the table; no two rules may match one name.
      template: nested dict whose leaves have the expected `.shape` (`jax.eval_shape`).
      ignored: source tensors to leave out.
      origin: file or folder named in the error.

    Raises:
      WeightsError: one line naming every unknown, misshapen, doubled and missing tensor.
    """
    leaves: dict[str, Any] = flatten_dict(template, sep="/")
    expected = {path: leaf.shape for path, leaf in leaves.items()}
    filled: dict[str, np.ndarray] = {}
    problems, failed = [], set()
    for name in sorted(tensors):
        if any(_match(entry.source, name) is not None for entry in ignored):
            continue
        found = _find(rules, name)
        if found is None or any(target not in expected for target in found[1]):
            problems.append(f"unknown tensor {name}")
            continue
        transform, targets = found
        problem = _place(name, tensors[name], transform, targets, expected, filled)
        if problem:
            problems.append(problem)
            failed.update(targets)
    missing = {_source_name(rules, path) for path in expected if path not in filled.keys() | failed}
    problems += [f"missing tensor {name}" for name in sorted(missing)]
    if problems:
        raise WeightsError(f"{origin}: {'; '.join(problems)}")
    return unflatten_dict(filled, sep="/")


def to_tensors(params: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    """The inverse of `to_params`: source name -> array, dtype unchanged.

    Raises:
      WeightsError: a parameter has no rule.
    """
    flat = {path: np.asarray(leaf) for path, leaf in flatten_dict(params, sep="/").items()}
    tensors = {}
    for path in sorted(flat):
        name = _source_name(rules, path)
        found = _find(rules, name)
        if found is None or any(target not in flat for target in found[1]):
            raise WeightsError(f"the parameter {path} has no place in the table of tensor names")
        transform, targets = found
        tensors[name] = transform.inverse(*(flat[target] for target in targets))
    return tensors


def _match(pattern: str, name: str) -> tuple[str, ...] | None:
    expression = re.escape(pattern).replace(r"\*", r"(0|[1-9][0-9]*)")
    found = re.fullmatch(expression, name)
    return found.groups() if found else None


def _fill(pattern: str, numbers: tuple[str, ...]) -> str:
    for number in numbers:
        pattern = pattern.replace("*", number, 1)
    return pattern


def _find(rules: Sequence[Rule], name: str) -> tuple[Transform, tuple[str, ...]] | None:
    """Transform and target paths of a source name."""
    for entry in rules:
        numbers = _match(entry.source, name)
        if numbers is not None:
            return entry.transform, tuple(_fill(target, numbers) for target in entry.targets)
    return None


def _source_name(rules: Sequence[Rule], path: str) -> str:
    """Source name of a parameter path; the path itself if no rule leads there."""
    for entry in rules:
        for target in entry.targets:
            numbers = _match(target, path)
            if numbers is not None:
                return _fill(entry.source, numbers)
    return path


def _place(
    name: str,
    tensor: np.ndarray,
    transform: Transform,
    targets: tuple[str, ...],
    expected: Mapping[str, tuple[int, ...]],
    filled: dict[str, np.ndarray],
) -> str | None:
    """Puts a tensor into `filled`; returns what is wrong with it, if anything."""
    if not np.issubdtype(tensor.dtype, np.floating) and tensor.dtype.name != "bfloat16":
        return f"tensor {name} holds {tensor.dtype}, expected floating point numbers"
    blanks = [np.broadcast_to(np.int8(0), expected[target]) for target in targets]
    wanted = transform.inverse(*blanks).shape
    if tensor.shape != wanted:
        return f"tensor {name} has shape {tuple(tensor.shape)}, expected {tuple(wanted)}"
    if any(target in filled for target in targets):
        return f"tensor {name} fills {', '.join(targets)} a second time"
    for target, array in zip(targets, transform.forward(tensor), strict=True):
        filled[target] = np.asarray(array, np.float32, order="C")
    return None
