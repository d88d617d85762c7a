"""Options of the encoders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CLIPOptions:
    """Options of a CLIP."""

    path: str = ""
    prompt: str = "a photo of {}"
    normalise: str = "clip"
    dtype: str = "float32"
    attention: str = "auto"
    train_texts: bool = False
