"""ImageNet's ResNets as torchvision publishes them: their state dictionaries and files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from mdmf_jax import files
from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.resnet import STAGES, ResNetSizes, ResNetStage, Stem
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.layers import batch_norm_rules, conv_rules
from mdmf_jax.weights.table import Ignored, Rule, to_params, to_tensors
from mdmf_jax.weights.torch_format.file import read_state_dict

FILE = "model.safetensors"
_COUNTER = "num_batches_tracked"


def stem_rules(conv: str, norm: str, target: str) -> list[Rule]:
    """The first convolution and its BatchNorm."""
    return [
        *conv_rules(conv, f"{target}stem/conv1"),
        *batch_norm_rules(norm, f"{target}stem/bn1"),
    ]


def stage_rules(source: str, target: str) -> list[Rule]:
    """The blocks of a stage; each has two or three convolutions."""
    source, target = f"{source}.*", f"{target}/*"
    found = [
        *conv_rules(f"{source}.downsample.0", f"{target}/downsample_conv"),
        *batch_norm_rules(f"{source}.downsample.1", f"{target}/downsample_bn"),
    ]
    for number in (1, 2, 3):
        found += conv_rules(f"{source}.conv{number}", f"{target}/conv{number}")
        found += batch_norm_rules(f"{source}.bn{number}", f"{target}/bn{number}")
    return found


def counters(norms: tuple[str, ...]) -> tuple[Ignored, ...]:
    """BatchNorm's counters behind these names."""
    reason = "counts training steps; old files do not have it"
    return tuple(Ignored(f"{norm}.{_COUNTER}", reason) for norm in norms)


def block_norms(stage: str) -> tuple[str, ...]:
    """Names of the BatchNorms in a stage's blocks."""
    return (f"{stage}.*.downsample.1", *(f"{stage}.*.bn{number}" for number in (1, 2, 3)))


_LAYERS = tuple(f"layer{number + 1}" for number in range(STAGES))
RULES: tuple[Rule, ...] = (
    *stem_rules("conv1", "bn1", ""),
    *(entry for layer in _LAYERS for entry in stage_rules(layer, layer)),
)
IGNORED = (
    Ignored("fc.weight", "ImageNet's classifier"),
    Ignored("fc.bias", "ImageNet's classifier"),
    *counters(("bn1", *(norm for layer in _LAYERS for norm in block_norms(layer)))),
)


def sizes_from_tensors(
    tensors: Mapping[str, np.ndarray], stem: str, stages: tuple[str, ...], *, origin: str
) -> ResNetSizes:
    """Sizes, read off the shapes.

    Args:
      stem: name of the first convolution.
      stages: what the names of each stage's blocks begin with.

    Raises:
      WeightsError: a tensor that tells a size is missing.
    """
    firsts = [f"{stage}.0.conv1.weight" for stage in stages]
    for name in (f"{stem}.weight", *firsts):
        if name not in tensors or tensors[name].ndim != 4:
            raise WeightsError(f"{origin}: no tensor {name} with 4 axes: not a ResNet")
    blocks = [
        len({n.split(".")[stage.count(".") + 1] for n in tensors if n.startswith(f"{stage}.")
             and n.endswith(".conv1.weight")})
        for stage in stages
    ]  # fmt: skip
    return ResNetSizes(
        layers=tuple(blocks),
        planes=tuple(len(tensors[name]) for name in firsts),
        stem=len(tensors[f"{stem}.weight"]),
        bottleneck=f"{stages[0]}.0.conv3.weight" in tensors,
    )


def template(sizes: ResNetSizes) -> dict[str, Any]:
    """Parameters of the ResNet as shapes; allocates nothing."""

    def init(key: jax.Array) -> dict[str, Any]:
        x, found = jnp.zeros((1, 32, 32, 3)), {}
        modules = {"stem": Stem(sizes.stem)}
        modules |= {layer: ResNetStage(sizes, number) for number, layer in enumerate(_LAYERS)}
        for name, module in modules.items():
            x, variables = module.init_with_output(key, x)
            found[name] = variables["params"]
        return found

    return jax.eval_shape(init, jax.random.key(0))


def load_state_dict(
    tensors: Mapping[str, np.ndarray], *, origin: str = "state dictionary"
) -> tuple[ResNetSizes, dict[str, Any]]:
    """(sizes, float32 parameters) of torchvision's ResNet; its classifier is left out.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    sizes = sizes_from_tensors(tensors, "conv1", _LAYERS, origin=origin)
    return sizes, to_params(tensors, RULES, template(sizes), ignored=IGNORED, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of torchvision's ResNet, without classifier and counters."""
    return to_tensors(params, RULES)


def load_resnet(path: str | Path) -> tuple[ResNetSizes, dict[str, Any], None]:
    """Reads a ResNet from a file of torchvision (.pth), from .safetensors with the same names,
    or from a folder that `save_resnet` wrote. It has no tokenizer.

    Raises:
      WeightsError: it is missing, damaged or not a ResNet.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.exists():
        raise WeightsError(
            f"{file}: no such file; expected a ResNet of torchvision (.pth or .safetensors)"
        )
    read = read_safetensors if file.suffix == ".safetensors" else read_state_dict
    return *load_state_dict(read(file), origin=str(file)), None


def save_resnet(folder: Path, params: Mapping[str, Any]) -> None:
    """Writes a folder that `load_resnet` reads.

    Raises:
      WeightsError: the parameters are not those of a ResNet.
    """
    tensors = {name: np.ascontiguousarray(x) for name, x in state_dict(params).items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    files.write_whole(Path(folder) / FILE, save(tensors), WeightsError)
