"""The few-shot methods by name: the one place where a method is chosen."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.tuple_matcher import TupleOptions
from mdmf_jax.models.methods.clip_fsar import CLIPFSAR, CLIPFSARConfig
from mdmf_jax.models.methods.cross_transformer import CrossTransformer, CrossTransformerConfig
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig
from mdmf_jax.models.methods.mean_pool import MeanPool, MeanPoolConfig
from mdmf_jax.models.methods.otam import OTAM, OTAMConfig
from mdmf_jax.models.methods.segment_transformer import SegmentTransformer, SegmentTransformerConfig
from mdmf_jax.models.methods.trx import TRX, TRXConfig
from mdmf_jax.models.methods.zero_shot import ZeroShot, ZeroShotConfig

METHODS: dict[str, tuple[type, type[nn.Module]]] = {
    "clip_fsar": (CLIPFSARConfig, CLIPFSAR),
    "cross_transformer": (CrossTransformerConfig, CrossTransformer),
    "mdmf": (MDMFConfig, MDMF),
    "mean_pool": (MeanPoolConfig, MeanPool),
    "otam": (OTAMConfig, OTAM),
    "segment_transformer": (SegmentTransformerConfig, SegmentTransformer),
    "trx": (TRXConfig, TRX),
    "zero_shot": (ZeroShotConfig, ZeroShot),
}

# These take the options of the section `tuples` besides their own.
WITH_TUPLES = ("mdmf", "segment_transformer")

# What the methods' options may be: the allowed texts, or bounds (see settings.py).
METHOD_LIMITS: dict[str, dict[str, Any]] = {
    "clip_fsar": {
        "depth": {"min": 1},
        "heads": {"min": 1},
        "hidden": {"min": 1},
        "attention_dropout": {"min": 0, "below": 1},
        "ffn_dropout": {"min": 0, "below": 1},
        "temperature": {"above": 0},
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
        "matcher": ("otam", "tuples"),
        "temperature": {"above": 0},
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
    "cross_transformer": {"width": {"min": 1}, "scale": {"above": 0}},
    "mean_pool": {"metric": ("cosine", "squared")},
    "otam": {"temperature": {"above": 0}},
    "segment_transformer": {"reduction": ("mean", "sum")},
    "trx": {
        "cardinalities": {"min": 1},
        "width": {"min": 1},
        "dropout": {"min": 0, "below": 1},
        "reduction": ("mean", "sum"),
    },
    "zero_shot": {"scale": {"above": 0}},
}

# The same for the section `tuples`.
TUPLE_LIMITS: dict[str, Any] = {
    "levels": {"min": 1},
    "counts": {"min": 1},
    "at_test": ("fixed", "complete"),
    "width": {"min": 1},
    "dropout": {"min": 0, "below": 1},
    "transport_strength": {"above": 0},
    "transport_iterations": {"min": 1},
    "transport_tolerance": {"above": 0},
    "l2_weight": {"min": 0},
    "transport_weight": {"min": 0},
    "fusion_weight": {"min": 0},
}


def config_class(method: str) -> type:
    """The frozen dataclass of a method's options.

    Raises:
      ConfigError: no such method.
    """
    return _entry(method)[0]


def build(method: str, options: Any, width: int, tuples: TupleOptions | None = None) -> nn.Module:
    """The method's module with the given options (an instance of `config_class(method)`).

    Args:
      tuples: for the methods that take them; None for the defaults.
      width: size D of the features that it will be given.

    Raises:
      ConfigError: no such method, or its attention heads cannot share `width` features.
    """
    heads = getattr(options, "heads", 1)
    if width % heads:
        raise ConfigError(f"{method}.heads is {heads}, which does not divide {width} features")
    module = _entry(method)[1]
    if method in WITH_TUPLES:
        return module(options, tuples or TupleOptions())
    return module(options)


def default_sections(method: str) -> dict[str, Any]:
    """The shared sections that a method reads, with their defaults."""
    return {"tuples": TupleOptions()} if method in WITH_TUPLES else {}


def build_sections(values: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Shared sections from plain values, every value checked.

    Raises:
      ConfigError: an unknown section or key, a wrong type or a bad value.
    """
    from mdmf_jax.config.fields import build_section, check_known

    for name in values:
        check_known(name, ["tuples"], place)
    return {
        name: build_section(TupleOptions, value, f"{place}.{name}", TUPLE_LIMITS)
        for name, value in values.items()
    }


def build_method(method: str, options: Any, sections: Mapping[str, Any], width: int) -> nn.Module:
    """The method's module with its options, and the shared sections that it reads.

    Raises:
      ConfigError: as `build`.
    """
    return build(method, options, width, sections.get("tuples"))


def _entry(method: str) -> tuple[type, type[nn.Module]]:
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; known: {', '.join(sorted(METHODS))}")
    return METHODS[method]
