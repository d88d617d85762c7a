"""State dictionaries of the published TS-FSAR code -> this package's parameters, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.models.encoders.clip.config import CLIPConfig
from mdmf_jax.models.encoders.ts_fsar import FEATURES, TSFSAREncoder
from mdmf_jax.models.methods.ts_fsar import TSFSAR, TSFSARConfig
from mdmf_jax.weights import huggingface
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.table import Rule, keep, rule, to_params, to_tensors, transpose

_ATTENTION = {"q_linear": "q_proj", "k_linear": "k_proj", "v_linear": "v_proj", "proj": "out_proj"}
_GENERATOR, _CLASSIFIER = "ts_dcm.generator.weight", "model.Linear.weight"


def _tower() -> list[Rule]:
    """The frozen tower: Hugging Face's names, of another prefix and in one case other spelling."""
    found = []
    for entry in huggingface.RULES:
        source = entry.source
        if source == "visual_projection.weight":
            source = "model.projection.weight"
        elif source.startswith("vision_model."):
            source = source.replace("vision_model.", "model.").replace("model.encoder.", "model.")
            source = source.replace("pre_layrnorm", "pre_layernorm")
        else:
            continue  # the text tower
        targets = tuple(f"encoder/{target}" for target in entry.targets)
        found.append(Rule(source, targets, entry.transform))
    return found


def _matrix(source: str, target: str) -> Rule:
    return rule(source, target, transpose(1, 0))


def _attention(source: str, target: str) -> list[Rule]:
    pairs = _ATTENTION.items()
    return [r for n, own in pairs for r in dense_rules(f"{source}.{n}", f"{target}/{own}")]


def _ladder() -> list[Rule]:
    source, target = "model.side_transformer.*", "encoder/adapter_ladder/block_*"
    return [
        _matrix("model.side_downsample.*.weight", "encoder/adapter_ladder/down_*/kernel"),
        *norm_rules("model.side_LN.*", "encoder/adapter_ladder/norm_*"),
        rule("model.side_gate_params.*", "encoder/adapter_ladder/gate_*", keep(1)),
        *norm_rules(f"{source}.norm1", f"{target}/layer_norm1"),
        *norm_rules(f"{source}.norm2", f"{target}/layer_norm2"),
        *_attention(f"{source}.attn", f"{target}/self_attn"),
        *dense_rules(f"{source}.mlp.fc1", f"{target}/mlp/fc1"),
        *dense_rules(f"{source}.mlp.fc2", f"{target}/mlp/fc2"),
    ]


RULES: tuple[Rule, ...] = (
    *_tower(),
    *_ladder(),
    *norm_rules("model.Adapter.norm1", "encoder/adapter_frames/norm"),
    *_attention("model.Adapter.attn", "encoder/adapter_frames/attention"),
    *norm_rules("model.up_ln", "encoder/adapter_text/norm"),
    _matrix("model.up_linear.weight", "encoder/adapter_text/projection/kernel"),
    _matrix(_GENERATOR, "head/generator/kernel"),
    _matrix(_CLASSIFIER, "head/classifier/kernel"),
)


def template(
    clip: CLIPConfig, encoder: TSFSAREncoder.Config, method: TSFSARConfig, frames: int, classes: int
) -> dict[str, Any]:
    """Parameter tree {"encoder", "head"} without the text tower, as shapes; allocates nothing.

    Args:
      frames: T of a video.
      classes: C of the training split.
    """
    key, module = jax.random.key(0), TSFSAREncoder(encoder, clip, wanted=FEATURES)
    made, params = jax.eval_shape(
        lambda videos: module.init_with_output(key, videos, method="videos"),
        module.example(frames),
    )
    query = {n: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype) for n, x in made.items()}
    support = {n: jax.ShapeDtypeStruct((1, 1, *x.shape[1:]), x.dtype) for n, x in made.items()}
    texts = jax.ShapeDtypeStruct((classes, clip.projection_dim), jnp.float32)

    def init(support, query, texts):
        return TSFSAR(method).init(key, support, query, texts[:1], class_texts=texts)

    head = jax.eval_shape(init, support, query, texts)["params"]
    return {"encoder": params["params"], "head": head}


def load_state_dict(
    tensors: Mapping[str, np.ndarray],
    clip: CLIPConfig,
    encoder: TSFSAREncoder.Config,
    method: TSFSARConfig | None = None,
    *,
    origin: str = "state dictionary",
) -> dict[str, Any]:
    """Parameters {"encoder", "head"} from a TS-FSAR state dictionary, without the text tower.

    The numbers of frames and of training classes are those of its matrices.

    Args:
      tensors: name -> array.
      clip: sizes of the CLIP that it was trained from.
      encoder, method: the options that it was trained with.

    Raises:
      WeightsError: tensors are missing, unknown or misshapen (all of them are named).
    """
    frames = int(np.sqrt(_rows(tensors, _GENERATOR)))
    classes = _rows(tensors, _CLASSIFIER)
    shapes = template(clip, encoder, method or TSFSARConfig(), frames, classes)
    return to_params(tensors, RULES, shapes, origin=origin)


def state_dict(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of the published code.

    Raises:
      WeightsError: a parameter has no place in it.
    """
    return to_tensors(params, RULES)


def _rows(tensors: Mapping[str, np.ndarray], name: str) -> int:
    """Rows of a matrix; 1 where it is missing, which the table then says."""
    return tensors[name].shape[0] if name in tensors and tensors[name].ndim == 2 else 1
