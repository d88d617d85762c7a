"""What a model consists of: an encoder and a method by name, with their options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelSettings:
    """An encoder and a method.

    Attributes:
      method: name of the few-shot method.
      head: its options, an instance of its Config.
      encoder_name: name of the encoder.
      encoder: its options, an instance of its Config.
      frames: T, frames of a video.
      train_classes: C, classes that it is trained on; some methods have parameters for each.
      sections: options that several methods share, by the name of their section.
    """

    method: str
    head: Any
    encoder_name: str
    encoder: Any
    frames: int
    train_classes: int = 1
    sections: Mapping[str, Any] = field(default_factory=dict)
