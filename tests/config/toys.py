"""A method, an encoder and a shared section that no file of the package knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.options import EncoderOptions
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.registry import METHODS


@dataclass(frozen=True)
class ToyEncoderOptions(EncoderOptions):
    blur: float = setting(0.5, "how much the pixels are blurred", reference=0.0, min=0)
    threads: int = setting(2, "threads", min=1, affects="speed")


class ToyEncoder(Encoder):
    Config: ClassVar[type] = ToyEncoderOptions


@dataclass(frozen=True)
class ToyOptions:
    sharpness: float = setting(3.0, "factor of the logits", reference=1.0, above=0)
    mode: str = setting("soft", "kind of vote", choices=("soft", "hard"))


@dataclass(frozen=True)
class MemoryOptions:
    slots: int = setting(4, "classes that are remembered", min=1)


class ToyMethod(FewShotMethod):
    Config: ClassVar[type] = ToyOptions
    sections: ClassVar[Mapping[str, type]] = {"memory": MemoryOptions}
    published: ClassVar[Mapping[str, Any]] = {"encoder.blur": 0.25, "data.flip": False}

    config: ToyOptions = ToyOptions()
    memory: MemoryOptions = MemoryOptions()

    @classmethod
    def check(cls, options, sections, frames):
        if sections["memory"].slots > frames:
            raise ConfigError("memory.slots is more than data.frames")


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setitem(ENCODERS, "toy", ToyEncoder)
    monkeypatch.setitem(METHODS, "toy", ToyMethod)
