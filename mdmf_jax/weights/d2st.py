"""State dictionaries of the published D2ST-Adapter code -> this package's parameters, and back.

The published model is one module `model`: CLIP's image tower without its projection, or a ResNet
cut into stages; in it the adapters (`Adapter`) and the classifier of the training classes, if it
has one.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.encoders.options import EncoderOptions
from mdmf_jax.models.encoders.resnet import ResNetSizes
from mdmf_jax.models.methods.d2st import D2STConfig
from mdmf_jax.weights import openai, torchvision
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.table import Ignored, Rule, Transform, keep, rule, to_params, to_tensors

PREFIX = "model."
_CLASSIFIER = f"{PREFIX}classification_layer."

# A depthwise Conv3d [C, 1, time, height, width] -> [time, height, width, C].
_CONV = Transform(
    5, lambda x: (x[:, 0].transpose(1, 2, 3, 0),), lambda x: x.transpose(3, 0, 1, 2)[:, None]
)
# A 1 x 1 x 1 convolution [out, in, 1, 1, 1] -> [in, out].
_POINT = Transform(5, lambda x: (x[:, :, 0, 0, 0].T,), lambda x: x.T[:, :, None, None, None])
# [1, T, C] -> [T, C].
_FIRST = Transform(3, lambda x: (x[0],), lambda x: x[None])


def _conv(source: str, target: str) -> list[Rule]:
    return [
        rule(f"{source}.weight", f"{target}/kernel", _CONV),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def _point(source: str, target: str) -> list[Rule]:
    """A dense layer that the published code has as a convolution."""
    weight, bias = dense_rules(source, target)
    return [Rule(weight.source, weight.targets, _POINT), bias]


def adapter_rules(source: str, target: str, *, convolutions: bool = False) -> list[Rule]:
    """Rules of one adapter.

    Args:
      convolutions: its dense layers are convolutions, and its LayerNorms have a level more, as
        in the ResNet.
    """
    dense, level = (_point, ".norm") if convolutions else (dense_rules, "")
    found = [
        *dense(f"{source}.down", f"{target}/down"),
        *_conv(f"{source}.pos_embed", f"{target}/neighbours"),
        *dense(f"{source}.up", f"{target}/up"),
    ]
    for letter, part in (("s", "space"), ("t", "time")):
        own, ours = f"{source}.{letter}_attn", f"{target}/{part}_attention"
        found += norm_rules(f"{source}.{letter}_ln{level}", f"{target}/{part}_norm")
        found += _conv(f"{own}.conv_offset.0", f"{ours}/offset_conv")
        found += norm_rules(f"{own}.conv_offset.1.norm", f"{ours}/offset_norm")
        found.append(rule(f"{own}.conv_offset.3.weight", f"{ours}/offset_out/kernel", _POINT))
        for name in ("q", "k", "v", "out"):
            found += dense(f"{own}.proj_{name}", f"{ours}/{name}_proj")
    return found


def _tower() -> list[Rule]:
    """CLIP's image tower, its names behind `model.`."""
    return [
        Rule(
            PREFIX + entry.source.removeprefix("visual."),
            tuple(f"encoder/{target}" for target in entry.targets),
            entry.transform,
        )
        for entry in openai.VIT_RULES
        if entry.source.startswith("visual.") and entry.source != "visual.proj"
    ]


CLASSIFIER_RULES: tuple[Rule, ...] = tuple(dense_rules(_CLASSIFIER[:-1], "head/classifier"))
VIT_RULES: tuple[Rule, ...] = (
    *_tower(),
    rule(f"{PREFIX}temporal_embedding", "encoder/vision_model/adapter_embedding/temporal", _FIRST),
    *adapter_rules(
        f"{PREFIX}transformer.resblocks.*.Adapter",
        "encoder/vision_model/encoder/layers/*/adapter/bottleneck",
    ),
    *CLASSIFIER_RULES,
)


_STAGES = (f"{PREFIX}stage1.4", *(f"{PREFIX}stage{number}" for number in (2, 3, 4)))
RESNET_RULES: tuple[Rule, ...] = (
    *torchvision.stem_rules(f"{PREFIX}stage1.0", f"{PREFIX}stage1.1", "encoder/"),
    *(
        entry
        for number, stage in enumerate(_STAGES, 1)
        for entry in (
            *torchvision.stage_rules(stage, f"encoder/layer{number}"),
            *adapter_rules(
                f"{PREFIX}Adapter_{number}", f"encoder/adapter{number}", convolutions=True
            ),
        )
    ),
    *CLASSIFIER_RULES,
)
_COUNTERS = torchvision.counters(
    (f"{PREFIX}stage1.1", *(n for stage in _STAGES for n in torchvision.block_norms(stage)))
)


def encoder_shapes(encoder: Encoder, frames: int) -> dict[str, Any]:
    """Parameters of an encoder as shapes; allocates nothing."""

    def init(videos: Any) -> Any:
        return encoder.init(jax.random.key(0), videos, None, method="everything")

    return jax.eval_shape(init, encoder.example(frames))["params"]


def head_shapes(tensors: Mapping[str, np.ndarray], width: int) -> dict[str, Any]:
    """The classifier's parameters as shapes; of its classes there are as many as in the file."""
    name = f"{_CLASSIFIER}bias"
    if name not in tensors:
        return {}
    classes = tensors[name].size
    shape = jax.ShapeDtypeStruct
    return {
        "classifier": {
            "kernel": shape((width, classes), np.float32),
            "bias": shape((classes,), np.float32),
        }
    }


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    encoder: EncoderOptions | None = None,
    method: D2STConfig | None = None,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a state dictionary of D2ST-Adapter with a ViT.

    The prefix `module.` of parallel training, before everything, is dropped.

    Args:
      tensors: name -> array; `read_state_dict` takes them out of a published checkpoint.
      clip: sizes of the CLIP that it was trained from.
      encoder: options of the encoder "d2st", the published ones by default.
      method: options of the method. With a class_weight, the classifier must be there; without,
        it must not. By default whatever is there.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
      ConfigError: the adapters do not fit the CLIP.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    module = D2STEncoder(encoder or D2STEncoder.Config(), clip)
    embedding = named.get(f"{PREFIX}temporal_embedding")
    frames = 8 if embedding is None or embedding.ndim != 3 else embedding.shape[1]
    return _load(named, VIT_RULES, module, method, frames=frames, origin=origin)


def resnet_sizes(tensors: Mapping[str, np.ndarray], *, origin: str) -> ResNetSizes:
    """Sizes of the ResNet in a state dictionary, read off the shapes.

    Raises:
      WeightsError: a tensor that tells a size is missing.
    """
    return torchvision.sizes_from_tensors(tensors, f"{PREFIX}stage1.0", _STAGES, origin=origin)


def load_resnet_state_dict(
    tensors: Mapping[str, np.ndarray],
    sizes: ResNetSizes | None = None,
    encoder: EncoderOptions | None = None,
    method: D2STConfig | None = None,
    *,
    frames: int = 8,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a state dictionary of D2ST-Adapter with a ResNet.

    Args:
      sizes: of the ResNet; None reads them off the shapes.
      encoder: options of the encoder "d2st_resnet", the published ones by default.
      frames: T, which published windows have to fit.
      tensors, method, origin: see `load_state_dict`.

    Raises:
      WeightsError, ConfigError: as `load_state_dict`.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    sizes = sizes or resnet_sizes(named, origin=origin)
    module = D2STResNetEncoder(encoder or D2STResNetEncoder.Config(), sizes)
    return _load(
        named, RESNET_RULES, module, method, frames=frames, ignored=_COUNTERS, origin=origin
    )


def _load(
    named: Mapping[str, np.ndarray],
    rules: tuple[Rule, ...],
    module: Encoder,
    method: D2STConfig | None,
    *,
    frames: int,
    ignored: tuple[Ignored, ...] = (),
    origin: str,
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} by a table; see `load_state_dict`."""
    head = head_shapes(named, module.width)
    if method is not None:
        asked = {f"{_CLASSIFIER}bias": np.zeros(max(1, _classes(named)))}
        head = head_shapes(asked if method.class_weight else {}, module.width)
    shapes = {"encoder": encoder_shapes(module, frames), "head": head}
    return {"head": {}} | to_params(named, rules, shapes, ignored=ignored, origin=origin)


def _classes(named: Mapping[str, np.ndarray]) -> int:
    found = named.get(f"{_CLASSIFIER}bias")
    return 0 if found is None else found.size


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code, without BatchNorm's counters.

    Raises:
      WeightsError: a parameter has no place in it.
    """
    return to_tensors(params, RESNET_RULES if "stem" in params["encoder"] else VIT_RULES)
