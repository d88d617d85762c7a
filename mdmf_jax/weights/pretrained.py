"""The pretrained files that encoders start from, by kind and by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mdmf_jax.errors import ConfigError
from mdmf_jax.weights.huggingface import demo_clip_path, load_clip, save_clip
from mdmf_jax.weights.torchvision import load_resnet, save_resnet


class Pretrained(NamedTuple):
    """What a pretrained model brings.

    Attributes:
      config: its sizes.
      params: float32 numpy arrays, a nested dict.
      tokenizer: texts to token ids; None for models without texts.
    """

    config: Any
    params: dict[str, Any]
    tokenizer: Any


# Readers by the kind that `Encoder.reads` names: folder -> a tuple like `Pretrained`.
READERS: dict[str, Callable[[Path], Any]] = {
    "clip": load_clip,
    "torchvision_resnet": load_resnet,
}

# Writers of the same kinds: folder, and what to write.
WRITERS: dict[str, Callable[[Path, Any], None]] = {
    "clip": lambda folder, whole: save_clip(folder, *whole),
    "torchvision_resnet": lambda folder, whole: save_resnet(folder, whole.params),
}

# What `encoder.path` may be, by kind.
_EXPECTED = {
    "clip": "the folder of a CLIP",
    "torchvision_resnet": "a ResNet's file of torchvision (.pth)",
}

# Names that stand for a model that comes with this package.
PACKAGED: dict[str, Callable[[], Path]] = {"packaged:demo": demo_clip_path}


def load_pretrained(kind: str, path: str | Path) -> Pretrained | None:
    """Reads pretrained files; None for encoders that start from none (kind "").

    Args:
      kind: `Encoder.reads`.
      path: a folder, or a name of PACKAGED.

    Raises:
      ConfigError: the path is empty.
      WeightsError: the files are missing or damaged.
    """
    if not kind:
        return None
    if not str(path):
        raise ConfigError(f"encoder.path is empty; set --config.encoder.path to {_EXPECTED[kind]}")
    name = str(path)
    return Pretrained(*READERS[kind](PACKAGED[name]() if name in PACKAGED else Path(path)))


def save_pretrained(kind: str, folder: Path, pretrained: Pretrained) -> None:
    """Writes files that `load_pretrained` reads.

    Raises:
      WeightsError: the parameters are not those of such a model.
    """
    WRITERS[kind](folder, pretrained)
