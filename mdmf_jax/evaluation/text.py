"""Text features of class names."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mdmf_jax.errors import ConfigError
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


def prompt_names(
    folders: Sequence[str], names: Sequence[str], all_folders: Sequence[str], order: str
) -> tuple[str, ...]:
    """The name that each class of a part is given in its prompt.

    "by_name": its own. "reference": as the published reader does it. That numbers the class
    folders of all parts in ascending order, puts a part's numbers into a Python set, and gives
    the class at place i of the set's own order the i-th name of the ascending list; the set's
    order is ascending only for small numbers, so that some data sets get wrong names.

    Args:
      folders, names: class folders of the part, ascending, and their names in words.
      all_folders: class folders of all parts.

    Raises:
      ConfigError: another order.
    """
    if order == "by_name":
        return tuple(names)
    if order != "reference":
        raise ConfigError(f"data.prompt_order is {order!r}; known: by_name, reference")
    ordered = sorted(set(all_folders), key=_folder_key(all_folders))
    numbers = [ordered.index(folder) for folder in folders]
    ascending = [names[i] for i in np.argsort(numbers)]
    places = list(set(numbers))
    return tuple(ascending[places.index(number)] for number in numbers)


def _folder_key(folders: Sequence[str]):
    # Folders that are numbers (official label numbers) are sorted as numbers.
    return int if all(folder.isdecimal() for folder in folders) else str
