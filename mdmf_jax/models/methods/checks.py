"""Settings of the methods that must fit each other and the number of frames."""

from math import comb
from typing import Any

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.tuple_matcher import TupleOptions


def uses_tuples(method: str, options: Any) -> bool:
    """Whether the options of `TupleOptions` matter to a method with these options."""
    return method == "segment_transformer" or getattr(options, "matcher", "") == "tuples"


def check_method(method: str, options: Any, tuples: TupleOptions, frames: int) -> None:
    """Raises ConfigError unless the method works with videos of `frames` frames.

    Args:
      options: of the method, an instance of its config class.
    """
    if method == "trx":
        _check_sizes("trx.cardinalities", options.cardinalities, frames)
    if uses_tuples(method, options):
        _check_tuples(tuples, frames)


def _check_tuples(tuples: TupleOptions, frames: int) -> None:
    levels, counts = tuples.levels, tuples.counts
    _check_sizes("tuples.levels", levels, frames)
    if len(levels) != len(counts):
        raise ConfigError(
            f"tuples.levels has {len(levels)} entries and tuples.counts {len(counts)}; give "
            "one number of tuples for each level"
        )
    for level, count in zip(levels, counts, strict=True):
        if count > comb(frames, level):
            raise ConfigError(
                f"tuples.counts asks for {count} tuples of level {level}, but {frames} frames "
                f"(data.frames) have only {comb(frames, level)}"
            )
    if not tuples.weights:
        raise ConfigError(
            "tuples.l2_weight, transport_weight and fusion_weight are all 0; give one a weight"
        )


def _check_sizes(name: str, sizes: tuple[int, ...], frames: int) -> None:
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise ConfigError(f"{name} is {sizes}; it must be numbers in ascending order, each once")
    if sizes[-1] > frames:
        raise ConfigError(
            f"{name} is {sizes}, but tuples of {sizes[-1]} frames need at least {sizes[-1]} "
            f"frames and data.frames is {frames}"
        )
