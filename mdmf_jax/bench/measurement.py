"""The result of one measurement, whatever was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measurement:
    """One figure, with what it takes to judge it.

    Attributes:
      name: what was measured, for example "input/prepared/threads".
      value: the figure, in `unit`.
      unit: for example "videos/s".
      median_seconds: median time of one repeat.
      repeats: how many repeats were timed.
      settings: sizes and choices that the figure depends on.
      flops: floating point operations of one repeat, where known.
      peak_bytes: most memory in use, where known.
      share_of_peak: `flops` a second as a share of what the device can do, where known.
    """

    name: str
    value: float
    unit: str
    median_seconds: float
    repeats: int
    settings: Mapping[str, object] = field(default_factory=dict)
    flops: float | None = None
    peak_bytes: int | None = None
    share_of_peak: float | None = None
