"""CLIP in the Hugging Face layout: a folder with config.json, model.safetensors and a tokenizer.

CLIPs with a ResNet image tower, which transformers does not have, are kept in the same files by
an extension of this package: `vision_config` has the model_type "clip_resnet" and a ResNet's
sizes, and the tensors of the image tower have OpenAI's names (`visual.*`). Transformers refuses
such a folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from mdmf_jax import files
from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    ResNetConfig,
    VisionConfig,
    from_huggingface,
    to_huggingface,
)
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.weights import openai_resnet
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.layers import dense_rules, norm_rules
from mdmf_jax.weights.table import Ignored, Rule, keep, rule, to_params, to_tensors, transpose


class LoadedCLIP(NamedTuple):
    """A CLIP ready for use: `CLIPVision(config)`, `CLIPText(config)` and `CLIP(config)` take
    the parameters (float32 numpy arrays; the towers take their own two branches)."""

    config: CLIPConfig
    params: dict[str, Any]
    tokenizer: Tokenizer


def _blocks(tower: str) -> list[Rule]:
    source, target = f"{tower}.encoder.layers.*", f"{tower}/encoder/layers/*"
    rules = norm_rules(f"{source}.layer_norm1", f"{target}/layer_norm1")
    rules += norm_rules(f"{source}.layer_norm2", f"{target}/layer_norm2")
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        rules += dense_rules(f"{source}.self_attn.{name}", f"{target}/self_attn/{name}")
    for name in ("fc1", "fc2"):
        rules += dense_rules(f"{source}.mlp.{name}", f"{target}/mlp/{name}")
    return rules


def _embedding(tower: str, name: str) -> Rule:
    source, target = f"{tower}.embeddings.{name}", f"{tower}/embeddings/{name}"
    return rule(f"{source}.weight", f"{target}/embedding", keep(2))


_TEXT_RULES: tuple[Rule, ...] = (
    rule("logit_scale", "logit_scale", keep(0)),
    rule("text_projection.weight", "text_projection/kernel", transpose(1, 0)),
    _embedding("text_model", "position_embedding"),
    _embedding("text_model", "token_embedding"),
    *norm_rules("text_model.final_layer_norm", "text_model/final_layer_norm"),
    *_blocks("text_model"),
)

RULES: tuple[Rule, ...] = (
    rule("visual_projection.weight", "visual_projection/kernel", transpose(1, 0)),
    rule(
        "vision_model.embeddings.class_embedding",
        "vision_model/embeddings/class_embedding",
        keep(1),
    ),
    rule(  # [out, in, height, width] -> [height, width, in, out]
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model/embeddings/patch_embedding/kernel",
        transpose(2, 3, 1, 0),
    ),
    _embedding("vision_model", "position_embedding"),
    *norm_rules("vision_model.pre_layrnorm", "vision_model/pre_layrnorm"),
    *norm_rules("vision_model.post_layernorm", "vision_model/post_layernorm"),
    *_blocks("vision_model"),
    *_TEXT_RULES,
)

# This package's extension: Hugging Face has no names for a ResNet, so it keeps OpenAI's.
RESNET_RULES: tuple[Rule, ...] = (*openai_resnet.RULES, *_TEXT_RULES)

IGNORED = (
    Ignored("vision_model.embeddings.position_ids", "0, 1, 2, ...; files of old versions"),
    Ignored("text_model.embeddings.position_ids", "0, 1, 2, ...; files of old versions"),
)


# Transformers reads "pt" and refuses what it does not know. Without a refusal it would give a
# ResNet's folder a vision transformer of random numbers.
_FORMAT, _RESNET_FORMAT = "pt", "mdmf_jax"


def rules(vision: VisionConfig | ResNetConfig) -> tuple[Rule, ...]:
    """The table for a CLIP with this image tower."""
    return RESNET_RULES if isinstance(vision, ResNetConfig) else RULES


def demo_clip_path() -> Path:
    """Folder of the small CLIP that comes with this package (trained on the demo's videos)."""
    return Path(__file__).parents[1] / "assets/demo_clip"


def template(config: CLIPConfig) -> dict[str, Any]:
    """Parameter tree of `CLIP(config)` as shapes; allocates nothing."""
    side = config.vision.image_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, config.text.max_position_embeddings), jnp.int32)
    return jax.eval_shape(CLIP(config).init, jax.random.key(0), pixels, ids)["params"]


def read_config(path: Path) -> CLIPConfig:
    """The sizes in a CLIP's config.json.

    Raises:
      WeightsError: the file is missing, or is not the config of a CLIP known here.
    """
    try:
        return from_huggingface(files.read_json(path, WeightsError))
    except (ConfigError, TypeError) as error:
        raise WeightsError(f"{path}: {error}") from error


def load_clip(directory: str | Path) -> LoadedCLIP:
    """Reads a CLIP that `CLIPModel.save_pretrained` (ViT) or `save_clip` (ViT, ResNet) wrote.

    Files: config.json, model.safetensors (or model.safetensors.index.json and its shards),
    vocab.json, merges.txt. Half precision becomes float32. The config keeps the image size of
    the checkpoint; see `interpolate_positions`.

    Raises:
      WeightsError: a file is missing or broken, or tensors are missing, unknown or misshapen
          (all of them are named).
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise WeightsError(f"{directory}: no such folder; expected a CLIP in Hugging Face layout")
    config = read_config(directory / "config.json")
    tokenizer = Tokenizer.from_huggingface(directory)
    params = to_params(
        _read_tensors(directory),
        rules(config.vision),
        template(config),
        ignored=IGNORED,
        origin=str(directory),
    )
    return LoadedCLIP(config, params, tokenizer)


def save_clip(
    directory: str | Path,
    config: CLIPConfig,
    params: Mapping[str, Any],
    tokenizer: Tokenizer,
    dtype: Any = np.float32,
) -> None:
    """Writes a CLIP that `load_clip` reads, and a ViT also so that transformers reads it.

    Args:
      dtype: of the stored numbers, `numpy.float32` or `numpy.float16`.

    Raises:
      WeightsError: `params` is not the parameter tree of `CLIP(config)`.
    """
    directory = Path(directory)
    described: dict[str, Any] = to_huggingface(config) | {"dtype": np.dtype(dtype).name}
    table = rules(config.vision)
    tensors = to_tensors(params, table)
    to_params(tensors, table, template(config), origin="the parameters to save")
    stored = {name: np.asarray(x, dtype, order="C") for name, x in tensors.items()}
    described["text_config"] |= {"bos_token_id": tokenizer.start, "pad_token_id": tokenizer.pad}
    kind = _RESNET_FORMAT if isinstance(config.vision, ResNetConfig) else _FORMAT
    content = save(stored, metadata={"format": kind})
    files.write_whole(directory / "model.safetensors", content, WeightsError)
    files.write_json(directory / "config.json", described, WeightsError)
    tokenizer.save(directory)


def _read_tensors(directory: Path) -> dict[str, np.ndarray]:
    """Tensors of model.safetensors, or of the shards that its index names."""
    index = directory / "model.safetensors.index.json"
    shards = ["model.safetensors"]
    if index.is_file() and not (directory / shards[0]).is_file():
        shards = _shard_names(index)
    tensors = {}
    for shard in shards:
        tensors |= read_safetensors(directory / shard)
    return tensors


def _shard_names(index: Path) -> list[str]:
    """The files that an index names; each must lie beside it."""
    placed = files.read_json(index, WeightsError).get("weight_map", {})
    names = list(placed.values()) if isinstance(placed, dict) else [placed]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise WeightsError(f"{index}: {name!r:.80} is not a name of a file beside it")
    return sorted(set(names))
