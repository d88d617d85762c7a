"""The few-shot methods by name: the one place where a method is chosen."""

from collections.abc import Mapping
from typing import Any

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.clip_fsar import CLIPFSAR
from mdmf_jax.models.methods.clip_spm import CLIPSPM
from mdmf_jax.models.methods.cross_transformer import CrossTransformer
from mdmf_jax.models.methods.d2st import D2ST
from mdmf_jax.models.methods.emp_net import EMPNet
from mdmf_jax.models.methods.mdmf import MDMF
from mdmf_jax.models.methods.mean_pool import MeanPool
from mdmf_jax.models.methods.otam import OTAM
from mdmf_jax.models.methods.segment_transformer import SegmentTransformer
from mdmf_jax.models.methods.task_adapter_pp import TaskAdapterPP
from mdmf_jax.models.methods.trx import TRX
from mdmf_jax.models.methods.ts_fsar import TSFSAR
from mdmf_jax.models.methods.zero_shot import ZeroShot

METHODS: dict[str, type[FewShotMethod]] = {
    "clip_fsar": CLIPFSAR,
    "clip_spm": CLIPSPM,
    "cross_transformer": CrossTransformer,
    "d2st": D2ST,
    "emp_net": EMPNet,
    "mdmf": MDMF,
    "mean_pool": MeanPool,
    "otam": OTAM,
    "segment_transformer": SegmentTransformer,
    "task_adapter_pp": TaskAdapterPP,
    "trx": TRX,
    "ts_fsar": TSFSAR,
    "zero_shot": ZeroShot,
}


def method_class(name: str) -> type[FewShotMethod]:
    """The class of a method.

    Raises:
      ConfigError: no such method.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(sorted(METHODS))}")
    return METHODS[name]


def config_class(name: str) -> type:
    """The frozen dataclass of a method's options.

    Raises:
      ConfigError: no such method.
    """
    return method_class(name).Config


def build_method(name: str, options: Any, sections: Mapping[str, Any], width: int) -> FewShotMethod:
    """The method's module.

    Args:
      options: an instance of its Config.
      sections: of the options that it shares with others, by name; defaults where they lack.
      width: size D of the features that it will be given.

    Raises:
      ConfigError: no such method, or its attention heads cannot share `width` features.
    """
    cls: Any = method_class(name)
    heads = getattr(options, "heads", 1)
    if width % heads:
        raise ConfigError(f"{name}.heads is {heads}, which does not divide {width} features")
    shared = default_sections(name)
    return cls(options, **shared | {key: sections[key] for key in shared if key in sections})


def default_sections(name: str) -> dict[str, Any]:
    """The options that a method shares with others, by section, with their defaults.

    Raises:
      ConfigError: no such method.
    """
    return {section: kind() for section, kind in method_class(name).sections.items()}
