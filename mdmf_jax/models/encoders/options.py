"""Options of the encoders."""

from dataclasses import dataclass
from typing import Literal

from mdmf_jax.config.fields import setting

Tower = Literal["image", "text"]
Projection = Literal["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


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
class TowerOptions(EncoderOptions):
    """Options of CLIP's towers, which every encoder that derives from `CLIPEncoder` has."""

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


@dataclass(frozen=True)
class CLIPOptions(TowerOptions):
    """Options of the encoder "clip".

    What changes the adapters' leaves changes the parameters, and by these the stored features.
    """

    adapter: Literal["none", "lora", "bottleneck"] = setting(
        "none",
        'what is put into the blocks, and trained alone: "lora" (low-rank changes of dense '
        'layers), "bottleneck" (over the frames), or "none"',
        affects="result",
    )
    lora_rank: int = setting(8, "rank of a layer's change", min=1, affects="result")
    lora_alpha: float = setting(16.0, "the change is multiplied by this and divided by the rank")
    lora_dropout: float = setting(
        0.0, "dropout of the change's input", min=0, below=1, affects="result"
    )
    lora_projections: tuple[Projection, ...] = setting(
        ("q_proj", "k_proj", "v_proj"),
        "dense layers that change: q_proj, k_proj, v_proj, out_proj, fc1, fc2",
        affects="result",
    )
    lora_blocks: tuple[int, ...] = setting(
        (), "blocks that change, from 0; (): all", min=0, affects="result"
    )
    lora_towers: tuple[Tower, ...] = setting(
        ("image",), 'towers that change: "image", "text"', affects="result"
    )
    lora_orthogonal: bool = setting(
        False,
        "keep the change orthogonal to the leading singular vectors of the layer (P2A)",
        affects="result",
    )
    bottleneck_width: int = setting(64, "inner width of the adapter", min=1, affects="result")
    bottleneck_kernel: int = setting(
        3, "frames that its convolution joins, an odd number", min=1, affects="result"
    )
    bottleneck_dropout: float = setting(
        0.0, "dropout inside the adapter", min=0, below=1, affects="result"
    )
    bottleneck_blocks: tuple[int, ...] = setting(
        (), "blocks of the image tower with the adapter, from 0; (): all", min=0, affects="result"
    )
