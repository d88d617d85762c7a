"""Sizes of a CLIP model, and their Hugging Face spelling (`config.json`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mdmf_jax.errors import ConfigError

ACTIVATIONS = ("quick_gelu", "gelu")

# A ResNet's last grid has one cell for so many pixels, and so many channels for one of `width`.
REDUCTION = 32

# model_type of a ResNet's section in config.json: this package's own, transformers has none.
RESNET_TYPE = "clip_resnet"

# The end token id that older Hugging Face CLIP configs give by mistake; see `TextConfig`.
LEGACY_EOS = 2

# A config that asks for more is damaged, or made to exhaust the reader.
MAX_LAYERS = 1000
MAX_SIZE = 2**24


@dataclass(frozen=True)
class TowerConfig:
    """Sizes shared by the image and the text transformer."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ConfigError(f"CLIP hidden_act is {self.hidden_act!r}; known are: {known}")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"CLIP hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """Image tower (ViT): square images of `image_size` pixels, square patches."""

    image_size: int = 224
    patch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size < self.patch_size or self.image_size % self.patch_size:
            raise ConfigError(
                f"CLIP image_size {self.image_size} is not a multiple of patch_size "
                f"{self.patch_size}"
            )

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        return self.grid**2


@dataclass(frozen=True)
class ResNetConfig:
    """Image tower (ResNet with attention pooling): square images of `image_size` pixels.

    Attributes:
      layers: blocks in each of the four stages.
      width: channels behind the stem; the first stage's blocks have 4 * width.
      heads: of the attention pooling; 64 channels each in every published model.
    """

    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    heads: int = 32
    image_size: int = 224

    def __post_init__(self) -> None:
        if len(self.layers) != 4 or min(self.layers) < 1:
            raise ConfigError(
                f"CLIP ResNet layers are {self.layers}, expected four positive numbers"
            )
        if self.width % 2:
            raise ConfigError(f"CLIP ResNet width {self.width} is odd; the stem halves it")
        if self.hidden_size % self.heads:
            raise ConfigError(
                f"CLIP ResNet pools {self.hidden_size} channels (32 * width), "
                f"no multiple of heads {self.heads}"
            )
        if self.image_size < REDUCTION or self.image_size % REDUCTION:
            raise ConfigError(
                f"CLIP ResNet image_size is {self.image_size}, expected a multiple of {REDUCTION}"
            )

    @property
    def grid(self) -> int:
        """Cells along one side of what is pooled."""
        return self.image_size // REDUCTION

    @property
    def hidden_size(self) -> int:
        """Channels of what is pooled."""
        return self.width * REDUCTION


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """Text tower.

    The feature of a text is read at the first `eos_token_id`. Where a config says 2 (older
    Hugging Face configs, whose tokenizer never writes that id as an end token), it is read at
    the largest id, as OpenAI's code does.
    """

    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = 49407


@dataclass(frozen=True)
class CLIPConfig:
    """Both towers and the size D of the space they share.

    The type of `vision` decides between a vision transformer and a ResNet.
    """

    vision: VisionConfig | ResNetConfig
    text: TextConfig
    projection_dim: int = 512

    def __post_init__(self) -> None:
        _check_sizes(self)


# What `CLIPConfig` of transformers takes for a key that config.json does not have.
_VISION_DEFAULTS = dict(
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    image_size=224,
    patch_size=32,
)
_TEXT_DEFAULTS = dict(
    hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8
)


def from_huggingface(config: Mapping[str, Any]) -> CLIPConfig:
    """CLIPConfig of a Hugging Face CLIP's `config.json`, read as transformers reads it.

    A `vision_config` of the model_type "clip_resnet" describes a ResNet; see `to_huggingface`.

    Raises:
      ConfigError: the config is not a CLIP's, or has something this package does not know
          (another activation, images that do not have three channels), or a ResNet's section
          lacks a size.
    """
    kind = config.get("model_type", "clip")
    if kind != "clip":
        raise ConfigError(f"config.json describes a {kind!r} model, expected model_type 'clip'")
    vision, text = _section(config, "vision_config"), _section(config, "text_config")
    if vision.get("num_channels", 3) != 3:
        raise ConfigError(f"CLIP num_channels is {vision['num_channels']}, only 3 is supported")
    return CLIPConfig(
        vision=_vision(vision),
        text=TextConfig(**_known(TextConfig, _TEXT_DEFAULTS, text)),
        projection_dim=config.get("projection_dim", 512),
    )


def to_huggingface(config: CLIPConfig) -> dict[str, Any]:
    """`config.json` of a Hugging Face `CLIPModel` of these sizes.

    A ResNet is an extension of this package, which transformers cannot read: no architecture is
    named, and `vision_config` is {"model_type": "clip_resnet", "layers": four numbers, "width",
    "heads", "image_size"}.
    """
    shared = {"projection_dim": config.projection_dim}
    text = {"model_type": "clip_text_model", **shared, **asdict(config.text)}
    described = {"model_type": "clip", **shared}
    if isinstance(config.vision, ResNetConfig):
        sizes = asdict(config.vision) | {"layers": list(config.vision.layers)}
        vision = {"model_type": RESNET_TYPE, **sizes}
    else:
        described = {"architectures": ["CLIPModel"], **described}
        vision = {"model_type": "clip_vision_model", **shared, **asdict(config.vision)}
    return {**described, "vision_config": vision, "text_config": text}


def _vision(section: Mapping[str, Any]) -> VisionConfig | ResNetConfig:
    if section.get("model_type") != RESNET_TYPE:
        return VisionConfig(**_known(VisionConfig, _VISION_DEFAULTS, section))
    missing = [field.name for field in fields(ResNetConfig) if field.name not in section]
    if missing:
        raise ConfigError(f"vision_config is a {RESNET_TYPE} without {', '.join(missing)}")
    sizes = _known(ResNetConfig, {}, section)
    layers = sizes["layers"] if isinstance(sizes["layers"], list | tuple) else [None]
    numbers = [*layers, sizes["width"], sizes["heads"], sizes["image_size"]]
    if not all(type(number) is int and 0 < number <= MAX_SIZE for number in numbers):
        raise ConfigError(f"CLIP ResNet sizes are {sizes}, expected positive whole numbers")
    checked: dict[str, Any] = sizes | {"layers": tuple(layers)}
    return ResNetConfig(**checked)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    # Old files say the same twice; transformers lets `*_config_dict` win.
    section = config.get(f"{name}_dict") or config.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{name} is {section!r:.80}, expected a JSON object")
    return section


def _known(kind: type, defaults: dict[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return defaults | {key: value for key, value in section.items() if key in names}


def _check_sizes(config: Any) -> None:
    """Raises ConfigError unless all numbers of a config are of their types and can be sizes."""
    for field in fields(config):
        value, most = getattr(config, field.name), MAX_SIZE
        if field.name == "num_hidden_layers":
            most = MAX_LAYERS
        least = 0 if field.name == "eos_token_id" else 1
        if field.type is int and not (type(value) is int and least <= value <= most):
            raise ConfigError(
                f"CLIP {field.name} is {value!r:.40}; it must be a whole number, {least} to {most}"
            )
        if field.type is float and not (type(value) in (int, float) and 0 <= value < 1):
            raise ConfigError(
                f"CLIP {field.name} is {value!r:.40}, it must be a number from 0 to 1"
            )
