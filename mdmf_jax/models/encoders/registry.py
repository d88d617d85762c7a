"""The encoders by name: the one place where an encoder is chosen."""

from typing import Any

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.adapted_clip import AdaptedCLIP
from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.encoders.emp_net import EMPNetEncoder
from mdmf_jax.models.encoders.motion.encoder import MotionEncoder
from mdmf_jax.models.encoders.task_adapter_pp import TaskAdapterEncoder
from mdmf_jax.models.encoders.ts_fsar import TSFSAREncoder

ENCODERS: dict[str, type[Encoder]] = {
    "clip": AdaptedCLIP,
    "d2st": D2STEncoder,
    "d2st_resnet": D2STResNetEncoder,
    "emp_net": EMPNetEncoder,
    "motion": MotionEncoder,
    "task_adapter_pp": TaskAdapterEncoder,
    "ts_fsar": TSFSAREncoder,
}


def encoder_class(name: str) -> type[Encoder]:
    """The class of an encoder.

    Raises:
      ConfigError: no such encoder.
    """
    if name not in ENCODERS:
        raise ConfigError(f"unknown encoder {name!r}; known: {', '.join(sorted(ENCODERS))}")
    return ENCODERS[name]


def build_encoder(name: str, options: Any, sizes: Any, **attributes: Any) -> Encoder:
    """The encoder's module.

    Args:
      options: an instance of its Config.
      sizes: of the pretrained files; None without.
      attributes: further ones of `Encoder`.

    Raises:
      ConfigError: no such encoder.
    """
    return encoder_class(name)(options, sizes, **attributes)
