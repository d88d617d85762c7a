"""State dictionaries of the published EMP-Net code -> this package's parameters, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.emp_net import READINGS, EMPNetEncoder
from mdmf_jax.models.methods.emp_net import VIEWS, EMPNet, EMPNetConfig
from mdmf_jax.weights import openai
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.reference import IGNORED, fusion_rules, image_tower_rules
from mdmf_jax.weights.table import Ignored, Rule, rule, split, to_params, to_tensors

PREFIX = "head."


def _reasoning(number: int) -> list[Rule]:
    source = f"{PREFIX}spatialtemporal_reasion_{number + 1}.layers.0"
    target, found = f"encoder/adapter_reasoning_{number}", []
    for place, name in enumerate(("spatial", "temporal")):
        own, ours = f"{source}.{place}", f"{target}/{name}"
        kernels = tuple(f"{ours}/to_{letter}/kernel" for letter in "qkv")
        found += norm_rules(f"{own}.norm", f"{ours}/norm")
        found += [rule(f"{own}.fn.to_qkv.weight", kernels, split(2, 3))]
        found += dense_rules(f"{own}.fn.to_out.0", f"{ours}/to_out")
    found += dense_rules(f"{source}.2.net.0", f"{target}/ffn/fc1")
    return [*found, *dense_rules(f"{source}.2.net.3", f"{target}/ffn/fc2")]


def _prefixed(entry: Rule) -> Rule:
    return Rule(PREFIX + entry.source, entry.targets, entry.transform)


RULES: tuple[Rule, ...] = (
    *map(_prefixed, image_tower_rules(openai.VIT_RULES)),
    *(entry for number in range(READINGS) for entry in _reasoning(number)),
    *(
        entry
        for view in VIEWS
        for entry in (
            *fusion_rules(f"{PREFIX}inter_reasion_{view}", f"encoder/adapter_{view}"),
            *fusion_rules(f"{PREFIX}fusion_{view}", f"head/fusion_{view}"),
        )
    ),
)

_TOWER_IGNORED = tuple(
    Ignored(PREFIX + entry.source, entry.reason)
    for entry in IGNORED
    if entry.source.startswith("backbone.")
)


def template(clip: CLIPConfig, options: Any, method: EMPNetConfig) -> dict[str, Any]:
    """Parameter tree {"encoder", "head"} as shapes, without the text tower; allocates nothing."""
    encoder = EMPNetEncoder(options, clip, wanted=EMPNet.uses)
    key, videos = jax.random.key(0), encoder.example(method.top_frames)
    made = lambda key, videos: encoder.init(key, videos, method="videos")  # noqa: E731
    leaves: Any = jax.eval_shape(made, key, videos)
    seen = jax.eval_shape(lambda p, v: encoder.apply(p, v, method="videos"), leaves, videos)
    support = {n: jax.ShapeDtypeStruct((1, *x.shape), x.dtype) for n, x in seen.items()}
    texts = jax.ShapeDtypeStruct((1, 1, clip.projection_dim), jnp.float32)
    head: Any = jax.eval_shape(EMPNet(method).init, key, support, seen, texts)
    return {"encoder": leaves["params"], "head": head["params"]}


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    encoder_options: Any = None,
    method: EMPNetConfig | None = None,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from an EMP-Net state dictionary.

    Args:
      tensors: name -> array, what `model_state` of a checkpoint holds.
      clip: sizes of the CLIP that it was trained from.
      encoder_options, method: options of the encoder and the method.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
      ConfigError: the CLIP has a ResNet.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    options = encoder_options or EMPNetEncoder.Config()
    shapes = template(clip, options, method or EMPNetConfig())
    return to_params(named, RULES, shapes, ignored=_TOWER_IGNORED, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code, without the text tower.

    Raises:
      WeightsError: a parameter has no place in it.
    """
    return to_tensors(params, RULES)
