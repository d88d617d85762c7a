"""How an option is declared: default, bounds, help, published value and effect in one place."""

from collections.abc import Sequence
from dataclasses import Field, field, fields
from typing import Any, Final


class _Same:
    def __repr__(self) -> str:
        return "SAME"


SAME: Final = _Same()  # the published code has the default, too

# What a setting may affect, from most to least.
AFFECTS = {
    "features": "the features of a test clip",
    "rounding": "the same up to rounding errors; stored features are made again",
    "videos": "which videos there are; stored features depend on what these hold",
    "result": "what training gives, or what a model answers",
    "training": "how a run goes on from a checkpoint: how long, and what stops it",
    "place": "where the videos lie",
    "evaluation": "what is tested in the end, not the model",
    "speed": "speed, memory, log and storage only",
}
# These must be the same in a run and in its checkpoint.
FIXED_BY_CHECKPOINT = ("features", "videos", "result")
# The key of stored features holds these, besides the contents of the videos.
FEATURE_KEY = ("features", "rounding")


def setting(
    default: Any,
    help: str,
    *,
    reference: Any = SAME,
    choices: Sequence[str] | None = None,
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    below: float | None = None,
    affects: str | None = None,
) -> Any:
    """A field of an options dataclass, declared once.

    Its type is that of the annotation: bool, int, float, str, Literal, tuple[int, ...] or
    tuple[str, ...]. Checkpoints that are older than a setting are read with its default, so that
    the default of a new setting should do what was done before.

    Args:
      default: value of the variant "corrected".
      help: one line for the table of settings, without a full stop.
      reference: value of the variant "reference", the published code's. With it, the setting is
        None in a config until the variant is known, even if it equals the default.
      choices: allowed texts; a Literal as type says the same.
      min, max, above, below: bounds of a number, or of each number of a tuple.
      affects: a key of AFFECTS. None: "features" for an option of an encoder, else "result".

    Raises:
      ValueError: `affects` is unknown.
    """
    if affects is not None and affects not in AFFECTS:
        raise ValueError(f"affects is {affects!r}; known: {', '.join(AFFECTS)}")
    given = {
        "choices": None if choices is None else tuple(choices),
        "min": min,
        "max": max,
        "above": above,
        "below": below,
        "affects": affects,
    }
    metadata = {name: value for name, value in given.items() if value is not None}
    return field(default=default, metadata={"help": help, "reference": reference} | metadata)


def switches(cls: type) -> dict[str, Field]:
    """The fields of an options dataclass whose value the variant decides."""
    return {f.name: f for f in fields(cls) if f.metadata.get("reference", SAME) is not SAME}


def effect(option: Field, of_encoder: bool = False) -> str:
    """What a field affects, a key of AFFECTS; a field without `setting` has the default effect."""
    return option.metadata.get("affects") or ("features" if of_encoder else "result")
