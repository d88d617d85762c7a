"""Settings of the methods that must fit each other and the number of frames."""

from math import comb
from typing import Any

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.segment_matcher import SegmentsConfig


def uses_segments(method: str, options: Any) -> bool:
    """Whether the options of `SegmentsConfig` matter to a method with these options."""
    return method == "segment_transformer" or getattr(options, "matcher", "") == "segments"


def check_method(method: str, options: Any, segments: SegmentsConfig, frames: int) -> None:
    """Raises ConfigError unless the method works with videos of `frames` frames.

    Args:
      options: of the method, an instance of its config class.
    """
    if method == "trx":
        _check_sizes("trx.cardinalities", options.cardinalities, frames)
    if uses_segments(method, options):
        _check_segments(segments, frames)


def _check_segments(segments: SegmentsConfig, frames: int) -> None:
    levels, tuples = segments.levels, segments.tuples
    _check_sizes("segments.levels", levels, frames)
    if len(levels) != len(tuples):
        raise ConfigError(
            f"segments.levels has {len(levels)} entries and segments.tuples {len(tuples)}; give "
            "one number of tuples for each level"
        )
    for level, count in zip(levels, tuples, strict=True):
        if count > comb(frames, level):
            raise ConfigError(
                f"segments.tuples asks for {count} tuples of level {level}, but {frames} frames "
                f"(data.frames) have only {comb(frames, level)}"
            )
    if not segments.weights:
        raise ConfigError(
            "segments.l2_weight, transport_weight and fusion_weight are all 0; give one a weight"
        )


def _check_sizes(name: str, sizes: tuple[int, ...], frames: int) -> None:
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise ConfigError(f"{name} is {sizes}; it must be numbers in ascending order, each once")
    if sizes[-1] > frames:
        raise ConfigError(
            f"{name} is {sizes}, but tuples of {sizes[-1]} frames need at least {sizes[-1]} "
            f"frames and data.frames is {frames}"
        )
