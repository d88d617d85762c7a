"""Few-shot action recognition in video with JAX and Flax.

The names in `__all__` are the public interface. Each is loaded when it is first used, so that
`import mdmf_jax` takes no time; none of them loads TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.model import FewShotModel
    from mdmf_jax.models.encoders.registry import ENCODERS
    from mdmf_jax.models.methods.registry import METHODS
    from mdmf_jax.models.model_settings import ModelSettings
    from mdmf_jax.runs.interface import evaluate, load, train

__all__ = [
    "ENCODERS",
    "METHODS",
    "FewShotClassifier",
    "FewShotModel",
    "ModelSettings",
    "__version__",
    "evaluate",
    "load",
    "train",
]

_MODULES = {
    "ENCODERS": "models.encoders.registry",
    "METHODS": "models.methods.registry",
    "FewShotClassifier": "classifier.classifier",
    "FewShotModel": "model",
    "ModelSettings": "models.model_settings",
    "evaluate": "runs.interface",
    "load": "runs.interface",
    "train": "runs.interface",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
