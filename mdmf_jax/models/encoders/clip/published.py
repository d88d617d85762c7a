"""Sizes of the CLIPs that OpenAI published (Radford et al. 2021), by name."""

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig

HEAD_SIZE = 64  # of every attention in these models


def _text(width: int) -> TextConfig:
    return TextConfig(width, 4 * width, 12, width // HEAD_SIZE)


def _vit(
    width: int, layers: int, patch: int, image: int, text_width: int, projection: int
) -> CLIPConfig:
    vision = VisionConfig(
        width, 4 * width, layers, width // HEAD_SIZE, image_size=image, patch_size=patch
    )
    return CLIPConfig(vision, _text(text_width), projection)


def _resnet(
    layers: tuple[int, int, int, int], width: int, image: int, text_width: int, projection: int
) -> CLIPConfig:
    vision = ResNetConfig(layers, width, 32 * width // HEAD_SIZE, image)
    return CLIPConfig(vision, _text(text_width), projection)


PUBLISHED: dict[str, CLIPConfig] = {
    "rn50": _resnet((3, 4, 6, 3), 64, 224, 512, 1024),
    "rn101": _resnet((3, 4, 23, 3), 64, 224, 512, 512),
    "rn50x4": _resnet((4, 6, 10, 6), 80, 288, 640, 640),
    "rn50x16": _resnet((6, 8, 18, 8), 96, 384, 768, 768),
    "rn50x64": _resnet((3, 15, 36, 10), 128, 448, 1024, 1024),
    "vit_b32": _vit(768, 12, 32, 224, 512, 512),
    "vit_b16": _vit(768, 12, 16, 224, 512, 512),
    "vit_l14": _vit(1024, 24, 14, 224, 768, 768),
    "vit_l14_336": _vit(1024, 24, 14, 336, 768, 768),
}


def published_config(name: str) -> CLIPConfig:
    """Sizes of a published CLIP: "rn50", "vit_b16", ... (the keys of `PUBLISHED`).

    Raises:
      ConfigError: there is none of this name.
    """
    if name not in PUBLISHED:
        raise ConfigError(
            f"no published CLIP is called {name!r}; known are: {', '.join(PUBLISHED)}"
        )
    return PUBLISHED[name]
