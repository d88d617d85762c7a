"""The pretrained files that encoders start from, by kind and by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.files import Name
from mdmf_jax.weights import archives, hub
from mdmf_jax.weights.hub_cache import is_commit
from mdmf_jax.weights.huggingface import demo_clip_path, save_clip
from mdmf_jax.weights.motion import load_motion, motion_path, save_motion
from mdmf_jax.weights.names import read_name, unknown
from mdmf_jax.weights.sources import read_clip
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


# Readers by the kind that `Encoder.reads` names: folder or file -> a tuple like `Pretrained`.
READERS: dict[str, Callable[[Path], Any]] = {
    "clip": read_clip,
    "motion": load_motion,
    "torchvision_resnet": load_resnet,
}

# Writers of the same kinds: folder, and what to write.
WRITERS: dict[str, Callable[[Path, Any], None]] = {
    "clip": lambda folder, whole: save_clip(folder, *whole),
    "motion": lambda folder, whole: save_motion(
        folder, whole.config.sizes, whole.config.training, whole.params
    ),
    "torchvision_resnet": lambda folder, whole: save_resnet(folder, whole.params),
}

# What `encoder.path` may be, by kind.
_EXPECTED = {
    "clip": "the name of a CLIP, such as vit_b16 or openai/clip-vit-base-patch16, or its folder",
    "motion": "packaged:motion, or the folder of a motion encoder",
    "torchvision_resnet": "a ResNet's file of torchvision (.pth)",
}

# Names that stand for a model that comes with this package.
PACKAGED: dict[str, Callable[[], Path]] = {
    "packaged:demo": demo_clip_path,
    "packaged:motion": motion_path,
}


def load_pretrained(kind: str, path: Name) -> Pretrained | None:
    """Reads pretrained files; None for encoders that start from none (kind "").

    Args:
      kind: `Encoder.reads`.
      path: a name of an encoder, as `names.read_name` reads it; what is not here is fetched.

    Raises:
      ConfigError: the path is empty.
      WeightsError: the files are missing or damaged, or cannot be fetched.
    """
    if not kind:
        return None
    if not str(path):
        raise ConfigError(f"encoder.path is empty; set --config.encoder.path to {_EXPECTED[kind]}")
    return Pretrained(*READERS[kind](files_of(path)))


def files_of(name: Name) -> Path:
    """Folder or file of an encoder; fetched first if it is not here.

    Raises:
      ConfigError: the name is pinned to something that this program does not know.
      WeightsError: it cannot be fetched, or there is neither such a name nor such a path.
    """
    found = read_name(name)
    if found.kind == "archive":
        archives.pinned(found.name, found.revision)
        return archives.fetch(found.name)
    if found.kind == "hub":
        return hub.fetch(found.name, found.revision).place
    if found.kind == "packaged" and found.name in PACKAGED:
        return PACKAGED[found.name]()
    if not Path(found.name).exists():
        raise WeightsError(f"{found.name}: no such folder, and {unknown(found.name, PACKAGED)}")
    return Path(found.name)


def pinned(name: Name) -> str:
    """The name with what it stands for today: "OWNER/NAME@COMMIT", "vit_b16@SHA256".

    Settings keep this form, so that results say what they were made with, and a run goes on with
    the same weights. Paths, packaged names and "" stay as they are.

    Raises:
      UserError: as of `files_of`.
    """
    found = read_name(name)
    if found.kind == "archive":
        return archives.pinned(found.name, found.revision)
    if found.kind == "hub" and not is_commit(found.revision):
        return f"{found.name}@{hub.fetch(found.name, found.revision).commit}"
    return str(name)


def save_pretrained(kind: str, folder: Path, pretrained: Pretrained) -> None:
    """Writes files that `load_pretrained` reads.

    Raises:
      WeightsError: the parameters are not those of such a model.
    """
    WRITERS[kind](folder, pretrained)
