"""Which files of a model of the hub make up a CLIP.

Only these are ever fetched: safetensors or, where a model has none, the state dict that PyTorch
wrote, which is read without unpickling; a config; and a vocabulary.
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

CONFIG, _OPEN_CLIP = "config.json", "open_clip_config.json"
_WHOLE, _INDEX, _PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
_OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
_SHARD = re.compile(r"model-\d{5}-of-(\d{5})\.safetensors")
_PAIR, _SINGLE = ("vocab.json", "merges.txt"), "tokenizer.json"
_SPECIAL = ("special_tokens_map.json", "tokenizer_config.json")


class Chosen(NamedTuple):
    """Files of a CLIP.

    Attributes:
      config: the one that says its sizes.
      names: all of them, the config first.
      entry: the file that stands for it where its folder does not; "" for the folder.
    """

    config: str
    names: tuple[str, ...]
    entry: str = ""


def choose(names: Collection[str]) -> Chosen | None:
    """The files to take of those that a model has; None if they are not those of a CLIP."""
    tokenizer = _tokenizer(names)
    special = [name for name in _SPECIAL if name in names] if tokenizer else []
    if _OPEN_CLIP in names and _OPEN_CLIP_WEIGHTS in names:
        kept = (_OPEN_CLIP, _OPEN_CLIP_WEIGHTS, *tokenizer, *special)
        return Chosen(_OPEN_CLIP, kept, _OPEN_CLIP_WEIGHTS)
    weights = _weights(names)
    if CONFIG in names and weights and tokenizer:
        return Chosen(CONFIG, (CONFIG, *weights, *tokenizer, *special))
    return None


def _tokenizer(names: Collection[str]) -> list[str]:
    if all(name in names for name in _PAIR):
        return list(_PAIR)
    return [_SINGLE] if _SINGLE in names else []


def _weights(names: Iterable[str]) -> list[str]:
    """model.safetensors, or its shards with their index, or pytorch_model.bin."""
    names = set(names)
    if _WHOLE in names:
        return [_WHOLE]
    shards = sorted(name for name in names if _SHARD.fullmatch(name))
    if _INDEX in names and shards and len(shards) == int(_SHARD.fullmatch(shards[0])[1]):  # type: ignore[index]
        return [_INDEX, *shards]
    return [_PICKLED] if _PICKLED in names else []
