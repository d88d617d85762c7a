"""State dictionaries of the published CLIP-MDMF code -> this package's parameters, and back.

The published model names its fusion transformers against their use: `context2` belongs to
the local view, `context_local` to the global view.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig
from mdmf_jax.weights import openai
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.table import (
    Ignored,
    Rule,
    Transform,
    keep,
    rule,
    to_params,
    to_tensors,
    transpose,
)

# Conv1d [out, in, width] -> [width, in, out].
CONV_1D = transpose(2, 1, 0)
# The gain of PyTorch's weight normalisation, [out, 1, 1] -> [out].
_GAIN = Transform(3, lambda x: (x.reshape(-1),), lambda x: x.reshape(-1, 1, 1))


def fusion_rules(source: str, target: str) -> list[Rule]:
    """A fusion transformer: `attention*` and `ffn*` of its layers."""
    attention, ffn = f"{source}.layers.*.0", f"{source}.layers.*.1.net"
    return [
        *norm_rules(f"{attention}.norm", f"{target}/attention*/norm"),
        *(
            rule(
                f"{attention}.fn.to_{name}.weight",
                f"{target}/attention*/to_{name}/kernel",
                transpose(1, 0),
            )
            for name in "qkv"
        ),
        *dense_rules(f"{attention}.fn.to_out.0", f"{target}/attention*/to_out"),
        *dense_rules(f"{ffn}.0", f"{target}/ffn*/fc1"),
        *dense_rules(f"{ffn}.3", f"{target}/ffn*/fc2"),
    ]


def _tcn(conv: str) -> list[Rule]:
    source, target = f"tcn.network.*.{conv}", f"head/global_context/tcn/block*_{conv}"
    return [
        rule(f"{source}.weight_v", f"{target}/direction", CONV_1D),
        rule(f"{source}.weight_g", f"{target}/gain", _GAIN),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def _local_conv(number: int) -> list[Rule]:
    source, target = f"context_conv{number}", f"head/local_context/conv{number}"
    return [
        rule(f"{source}.weight", f"{target}/kernel", CONV_1D),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def _backbone(name: str) -> str:
    """A name in OpenAI's image tower under its name in CLIP-MDMF."""
    return "backbone." + name.removeprefix("visual.")


def image_tower_rules(clip_rules: Sequence[Rule]) -> list[Rule]:
    """The image tower's part of a table of OpenAI's CLIP."""
    return [
        Rule(
            _backbone(entry.source),
            tuple(f"encoder/{target}" for target in entry.targets),
            entry.transform,
        )
        for entry in clip_rules
        if entry.source.startswith("visual.")
    ]


_HEAD: tuple[Rule, ...] = (
    rule("scale", "head/scale", keep(1)),
    *_local_conv(1),
    *_local_conv(2),
    *_tcn("conv1"),
    *_tcn("conv2"),
    *fusion_rules("context2", "head/local_fusion"),
    *fusion_rules("context_local", "head/global_fusion"),
)

VIT_RULES: tuple[Rule, ...] = (*_HEAD, *image_tower_rules(openai.VIT_RULES))
RESNET_RULES: tuple[Rule, ...] = (*_HEAD, *image_tower_rules(openai.RESNET_RULES))

IGNORED = (
    *(
        Ignored(f"context_conv{number}.{leaf}", "made by the published code and never used")
        for number in (11, 22)
        for leaf in ("weight", "bias")
    ),
    *(
        Ignored(_backbone(entry.source), entry.reason)
        for entry in openai.IGNORED
        if entry.source.startswith("visual.")
    ),
)

# The published TCN registers every convolution a second time inside a sequence.
_DOUBLES = {"net.0": "conv1", "net.4": "conv2"}


def template(clip: CLIPConfig, method: MDMFConfig) -> dict[str, Any]:
    """Parameter tree {"encoder", "head"} of CLIP-MDMF as shapes; allocates nothing."""
    side, features = clip.vision.image_size, clip.projection_dim
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    support, query, texts = (
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((1, 1, 8, features), (1, 8, features), (1, features))
    )
    episode = {"frames": support}, {"frames": query}, texts
    key = jax.random.key(0)
    encoder = jax.eval_shape(CLIPVision(clip).init, key, pixels)["params"]
    rngs = {"params": key, "prompt": key}
    return {"encoder": encoder, "head": jax.eval_shape(MDMF(method).init, rngs, *episode)["params"]}


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    method: MDMFConfig,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a CLIP-MDMF state dictionary.

    The image tower may be a vision transformer or a ResNet, as `clip` says. The prefix
    `module.` that DataParallel adds, before everything or behind `backbone.`, is dropped.
    Doubled TCN tensors must equal each other.

    Raises:
      WeightsError: tensors are missing, unknown, misshapen or contradict their doubles.
    """
    named = {_plain_name(name): tensor for name, tensor in tensors.items()}
    unique = _without_doubles(named, origin)
    rules = RESNET_RULES if isinstance(clip.vision, ResNetConfig) else VIT_RULES
    return to_params(unique, rules, template(clip, method), ignored=IGNORED, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code, doubled TCN tensors included.

    The never-used tensors `context_conv11` and `context_conv22` are not written, nor are
    BatchNorm's counters `num_batches_tracked`.
    """
    resnet = "attnpool" in params["encoder"]["vision_model"]
    tensors = to_tensors(params, RESNET_RULES if resnet else VIT_RULES)
    for double, original in _DOUBLES.items():
        for name in [name for name in tensors if name.startswith("tcn.")]:
            if f".{original}." in name:
                tensors[name.replace(f".{original}.", f".{double}.")] = tensors[name]
    return tensors


def _plain_name(name: str) -> str:
    name = name.removeprefix("module.")
    prefix = "backbone.module."
    return "backbone." + name.removeprefix(prefix) if name.startswith(prefix) else name


def _without_doubles(tensors: Mapping[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    unique, different = dict(tensors), []
    for double, original in _DOUBLES.items():
        for name in [n for n in tensors if n.startswith("tcn.network.") and f".{double}." in n]:
            twin = tensors.get(name.replace(f".{double}.", f".{original}."))
            if twin is None or not np.array_equal(unique.pop(name), twin):
                different.append(f"tensor {name} differs from its double in {original}")
    if different:
        raise WeightsError(f"{origin}: {'; '.join(different)}")
    return unique
