"""Options of the encoders."""

from dataclasses import dataclass
from typing import Literal

from mdmf_jax.config.fields import setting


@dataclass(frozen=True)
class EncoderOptions:
    """Options that every encoder has. All count for stored features, unless they say otherwise."""

    path: str = setting(
        "",
        "the pretrained model: a name such as vit_b16, OWNER/NAME or OWNER/NAME@REVISION of the "
        'hub or "packaged:demo" (see `mdmf weights list`), or its folder or file',
        affects="result",  # stored features depend on the parameters themselves
    )
    prompt: str = setting(
        "a photo of {}", "text of a class; {} stands for its name", affects="result"
    )


@dataclass(frozen=True)
class CLIPOptions(EncoderOptions):
    """Options of a CLIP."""

    normalise: Literal["clip", "none"] = setting(
        "clip", 'pixels: "clip" (mean and deviation) or "none" (0..1)', reference="none"
    )
    dtype: Literal["float32", "bfloat16"] = setting(
        "float32", "of the image tower's computation; parameters are float32"
    )
    attention: Literal["auto", "xla", "cudnn"] = setting(
        "auto", '"xla", "cudnn", or "auto": cuDNN where it works', affects="rounding"
    )
    train_texts: bool = setting(False, "train the text tower as well", affects="result")
