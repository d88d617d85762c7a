"""Text features of class names."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.weights.huggingface import LoadedCLIP


def class_tables(
    clip: LoadedCLIP, names: Mapping[str, Sequence[str]], prompt: str
) -> dict[str, np.ndarray]:
    """Text features of the prompts of all classes, not normalised: [C, D] for each part.

    Args:
      names: class names in words, by part.
      prompt: such as "a photo of {}"; {} stands for the name.
    """
    texts = [prompt.format(name) for part in names.values() for name in part]
    ids = clip.tokenizer(texts, clip.config.text.max_position_embeddings)
    params = {name: clip.params[name] for name in ("text_model", "text_projection")}
    text = CLIPText(clip.config)
    features = jax.jit(lambda params, ids: text.apply({"params": params}, ids))(params, ids)
    ends = np.cumsum([len(part) for part in names.values()])
    return dict(zip(names, np.split(np.asarray(features), ends[:-1]), strict=True))
