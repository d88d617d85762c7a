"""The few-shot methods by name: the one place where a method is chosen."""

from typing import Any

from flax import linen as nn

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.models.mdmf import MDMF, MDMFConfig

METHODS: dict[str, tuple[type, type[nn.Module]]] = {
    "clip_fsar": (CLIPFSARConfig, CLIPFSAR),
    "mdmf": (MDMFConfig, MDMF),
}

# What the methods' options may be: the allowed texts, or bounds (see settings.py).
METHOD_LIMITS: dict[str, dict[str, Any]] = {
    "clip_fsar": {
        "depth": {"min": 1},
        "heads": {"min": 1},
        "hidden": {"min": 1},
        "attention_dropout": {"min": 0, "below": 1},
        "ffn_dropout": {"min": 0, "below": 1},
        "smoothing": {"above": 0},
        "at_test": ("plain", "text", "combined"),
        "text_coefficient": {"min": 0, "max": 1},
        "class_weight": {"min": 0},
        "query_weight": {"min": 0},
        "reduction": ("mean", "sum"),
    },
    "mdmf": {
        "frames_kept": {"min": 1},
        "pps_at_test": ("argmax", "sample"),
        "text_token": ("text", "first_frame"),
        "depth": {"min": 1},
        "heads": {"min": 1},
        "hidden": {"min": 1},
        "attention_dropout": {"min": 0, "below": 1},
        "ffn_dropout": {"min": 0, "below": 1},
        "tcn_dropout": {"min": 0, "below": 1},
        "smoothing": {"above": 0},
        "direction": (
            "both",
            "local_to_global",
            "global_to_local",
            "bid",
            "up2down",
            "down2up",
        ),
        "condition": ("text_and_visual", "text", "visual", "none"),
        "reduction": ("mean", "sum"),
        "views": ("both", "local", "global", "neither"),
        "class_weight": {"min": 0},
        "query_weight": {"min": 0},
        "distill_weight": {"min": 0},
    },
}


def config_class(method: str) -> type:
    """The frozen dataclass of a method's options.

    Raises:
      ConfigError: no such method.
    """
    return _entry(method)[0]


def build(method: str, options: Any, width: int) -> nn.Module:
    """The method's module with the given options (an instance of `config_class(method)`).

    Args:
      width: size D of the features that it will be given.

    Raises:
      ConfigError: no such method, or its attention heads cannot share `width` features.
    """
    heads = getattr(options, "heads", 1)
    if width % heads:
        raise ConfigError(f"{method}.heads is {heads}, which does not divide {width} features")
    return _entry(method)[1](options)


def _entry(method: str) -> tuple[type, type[nn.Module]]:
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; known: {', '.join(sorted(METHODS))}")
    return METHODS[method]
