"""State dictionaries of the published Task-Adapter++ code -> this package's parameters, and back.

The published model holds adapters in every block of both towers, and uses those of the last ones.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.task_adapter_pp import (
    REDUCTION,
    TaskAdapterEncoder,
    TaskAdapterOptions,
)
from mdmf_jax.models.methods.task_adapter_pp import TaskAdapterConfig, TaskAdapterPP
from mdmf_jax.weights import openai
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.openai_sizes import config_from_state_dict
from mdmf_jax.weights.table import Ignored, Rule, Transform, rule, to_params, to_tensors

FRAMES = 8  # a fixed number in the published code
LOGIT_SCALE = "text.logit_scale"  # of the CLIP; the published code holds it and does not use it
_CLIPS = np.log(100, dtype=np.float32)  # what it is in OpenAI's CLIPs

# Adapters: their published names, and ours.
_IMAGE = {"t_adapter": "time", "s_adapter": "space", "task_adapter": "task", "MLP_adapter": "mlp"}
_TEXT = {"sub3_adapter": "texts"}
_BLOCKS = {"feature": ("vision_model", _IMAGE), "text": ("text_model", _TEXT)}
_BLOCK = "transformer.resblocks"
_WITHOUT_FIRST = Transform(3, lambda x: (x[0],), lambda x: x[None])


def _own_name(clips: str) -> str:
    """The published name of a tensor that OpenAI's archives call `clips`."""
    image = clips.startswith("visual.")
    return f"feature.{clips.removeprefix('visual.')}" if image else f"text.{clips}"


def _adapter_rules() -> list[Rule]:
    found = []
    for published, (tower, names) in _BLOCKS.items():
        for theirs, ours in names.items():
            for layer, name in (("D_fc1", "down"), ("D_fc2", "up")):
                source = f"{published}.{_BLOCK}.*.{theirs}.{layer}"
                target = f"encoder/{tower}/encoder/layers/*/adapter/{ours}/{name}"
                found += dense_rules(source, target)
    return found


RULES: tuple[Rule, ...] = (
    *(
        Rule(_own_name(r.source), tuple(f"encoder/{path}" for path in r.targets), r.transform)
        for r in openai.VIT_RULES
        if r.source != "logit_scale"
    ),
    rule(
        "feature.temporal_embedding",
        "encoder/vision_model/adapter_embedding/temporal",
        _WITHOUT_FIRST,
    ),
    *_adapter_rules(),
    *norm_rules("ca.ln_1", "head/norm"),
)


def clip_config(tensors: Mapping[str, np.ndarray], *, origin: str) -> CLIPConfig:
    """Sizes of the CLIP that a state dictionary was trained from.

    Raises:
      WeightsError: a tensor that tells a size is missing, or the sizes are impossible.
    """
    named = {
        name.replace("feature.", "visual.", 1).removeprefix("text."): tensor
        for name, tensor in _plain(tensors).items()
    }
    return config_from_state_dict(named, origin=origin)


def template(
    clip: CLIPConfig, encoder: TaskAdapterOptions, method: TaskAdapterConfig
) -> dict[str, Any]:
    """Parameter tree {"encoder", "head"} as shapes, the whole text tower included."""
    module, key = TaskAdapterEncoder(encoder, clip), jax.random.key(0)
    videos = module.example(FRAMES)
    ids = jax.ShapeDtypeStruct((1, 1, clip.text.max_position_embeddings), jnp.int32)

    def init(videos: dict[str, jax.Array], ids: jax.Array) -> Any:
        frames = jnp.zeros((2, FRAMES, clip.projection_dim))
        support, texts = {"frames": frames[:, None]}, frames[:, :1]
        head: Any = TaskAdapterPP(method).init(key, support, {"frames": frames}, texts)
        leaves = module.init(key, videos, ids, method="everything")["params"]
        return {"encoder": leaves, "head": head.get("params", {})}

    return jax.eval_shape(init, videos, ids)


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    encoder: TaskAdapterOptions,
    method: TaskAdapterConfig,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a published state dictionary.

    The prefix `module.` of parallel training is dropped. Adapters of blocks that do not use
    theirs are read over, and so is the CLIP's temperature.

    Args:
      tensors: name -> array.
      clip: sizes of the CLIP; see `clip_config`.
      encoder, method: options, which say how many blocks are adapted and whether there is a
        LayerNorm in the crossing.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    shapes = template(clip, encoder, method)
    ignored = (Ignored(LOGIT_SCALE, "the CLIP's temperature"), *_unused(clip, encoder))
    found = to_params(_plain(tensors), RULES, shapes, ignored=ignored, origin=origin)
    return {"head": {}} | found


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code; adapters that it does not use are zero.

    Args:
      params: with the whole text tower, as `load_state_dict` gives them.

    Raises:
      WeightsError: a parameter has no place in it.
    """
    tensors = to_tensors(params, RULES)
    for published, (_, names) in _BLOCKS.items():
        norm = re.compile(rf"{published}\.{_BLOCK}\.(\d+)\.ln_1\.weight")
        blocks = [(found, x) for name, x in tensors.items() if (found := norm.fullmatch(name))]
        for found, norm_weight in blocks:
            for name, shape in _adapter_shapes(len(norm_weight)).items():
                for adapter in names:
                    own = f"{published}.{_BLOCK}.{found[1]}.{adapter}.{name}"
                    tensors.setdefault(own, np.zeros(shape, np.float32))
    return tensors | {LOGIT_SCALE: _CLIPS}


def _adapter_shapes(width: int) -> dict[str, tuple[int, ...]]:
    inner = width // REDUCTION
    return {
        "D_fc1.weight": (inner, width),
        "D_fc1.bias": (inner,),
        "D_fc2.weight": (width, inner),
        "D_fc2.bias": (width,),
    }


def _plain(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names without the prefixes of parallel training."""
    prefixes = re.compile(r"^(?:module\.)?((?:feature|text|ca)\.)(?:module\.)?")
    return {prefixes.sub(r"\1", name): tensor for name, tensor in tensors.items()}


def _unused(clip: CLIPConfig, encoder: TaskAdapterOptions) -> list[Ignored]:
    """Adapters of the blocks that are not adapted."""
    vision: Any = clip.vision
    first = {
        "feature": vision.num_hidden_layers - encoder.image_adapted,
        "text": clip.text.num_hidden_layers - encoder.text_adapted,
    }
    return [
        Ignored(f"{published}.{_BLOCK}.{block}.{adapter}.{name}", "its block does not use it")
        for published, (_, names) in _BLOCKS.items()
        for block in range(first[published])
        for adapter in names
        for name in _adapter_shapes(1)
    ]
