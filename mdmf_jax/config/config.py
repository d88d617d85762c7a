"""The settings of a run as frozen dataclasses. configs/common.py holds the defaults."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from mdmf_jax.config.fields import build_section, check_known, convert
from mdmf_jax.config.variants import resolve
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.tuple_matcher import TupleOptions
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.models.methods.checks import check_method


def _at_least(least: float, below: float | None = None) -> Any:
    return field(metadata={"min": least} if below is None else {"min": least, "below": below})


@dataclass(frozen=True)
class EncoderSection:
    """The pretrained encoder and the prompts."""

    path: str
    prompt: str
    normalise: Literal["clip", "none"]
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["auto", "xla", "cudnn"]


@dataclass(frozen=True)
class DataSection:
    """Videos, splits and what is done to frames."""

    dataset: Literal["folders", "demo"]
    root: str
    source: Literal["auto", "videos", "frames", "prepared"]
    protocol: str
    splits: str
    frames: int = _at_least(1)
    resize: int = _at_least(1)
    crop: int = _at_least(1)
    pipeline: Literal["mdmf", "clip_fsar"]
    sampling: Literal["ends", "segments", "span"]
    test_clips: int = _at_least(1)
    short_videos: Literal["repeat", "drop"]
    flip: bool
    jitter: bool
    left_right: bool
    cache: bool
    loader: Literal["tfdata", "threads"]
    workers: int = _at_least(1)
    prompt_order: Literal["by_name", "reference"]


@dataclass(frozen=True)
class EpisodeSection:
    """Training episodes."""

    way: int = _at_least(2)
    shot: int = _at_least(1)
    queries: int = _at_least(1)


@dataclass(frozen=True)
class TrainSection:
    """Optimisation, validation and checkpoints."""

    steps: int = _at_least(0)
    episodes_per_step: int = _at_least(1)
    optimizer: Literal["adam", "sgd"]
    learning_rate: float = _at_least(0)
    warmup_steps: int = _at_least(0)
    warmup_start: float = _at_least(0)
    decay_at: tuple[int, ...] = _at_least(1)
    decay_factor: float = _at_least(0)
    weight_decay: float = _at_least(0)
    no_decay: tuple[str, ...]
    freeze: tuple[str, ...]
    log_every: int = _at_least(1)
    on_nan: Literal["stop", "skip"]
    max_skipped: int = _at_least(1)
    validate_every: int = _at_least(1)
    validate_episodes: int = _at_least(1)
    select: Literal["best", "last"]
    model_devices: int = _at_least(1)
    shard_params: bool
    micro_batch: int = _at_least(0)
    remat: bool
    cached_clips: int = _at_least(0)
    profile_from: int = _at_least(0)
    profile_steps: int = _at_least(1)

    @property
    def allowed_to_skip(self) -> int:
        """Steps without a finite loss and gradient that may be left out."""
        return self.max_skipped if self.on_nan == "skip" else 0


@dataclass(frozen=True)
class CheckpointSection:
    """What is kept of a run."""

    keep: int = _at_least(1)
    on_corrupt: Literal["error", "fallback"]


@dataclass(frozen=True)
class EvalSection:
    """Evaluation after training, and of eval.py."""

    split: Literal["train", "val", "test"]
    way: int = _at_least(2)
    shots: tuple[int, ...] = _at_least(1)
    queries: int = _at_least(1)
    episodes: int = _at_least(1)
    chunk: int = _at_least(1)
    table_gib: float = _at_least(0)
    feature_cache: str
    untrained: bool


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    `head` holds the options of the chosen method, `tuples` more of them for the methods that
    compare frame tuples.
    """

    variant: Literal["corrected", "reference"]
    method: str
    seed: int
    encoder: EncoderSection
    data: DataSection
    episode: EpisodeSection
    train: TrainSection
    checkpoint: CheckpointSection
    eval: EvalSection
    tuples: TupleOptions
    head: Any

    @property
    def encoder_name(self) -> str:
        return "clip"

    @property
    def sections(self) -> dict[str, Any]:
        return {"tuples": self.tuples}


SECTIONS = {
    "encoder": EncoderSection,
    "data": DataSection,
    "episode": EpisodeSection,
    "train": TrainSection,
    "checkpoint": CheckpointSection,
    "eval": EvalSection,
}
SCALARS = {"variant": str, "method": str, "seed": int}


def known_settings() -> dict[str, list[str]]:
    """Names of all settings by section; "" holds the sections and the top-level settings."""
    sections = SECTIONS | {"tuples": TupleOptions}
    sections |= {name: methods.config_class(name) for name in methods.METHODS}
    known = {name: [f.name for f in fields(cls)] for name, cls in sections.items()}
    return {"": [*SCALARS, *sections]} | known


def from_config_dict(settings: Mapping[str, Any]) -> Config:
    """Checks settings (an ml_collections ConfigDict or a plain nested dict) and freezes them.

    Switches that are None take the value of the variant.

    Raises:
      ConfigError: an unknown or missing key, a wrong type or a bad value; the message names it.
    """
    settings = settings.to_dict() if hasattr(settings, "to_dict") else dict(settings)
    for name in settings:
        check_known(name, known_settings()[""])
    for name in (*SCALARS, *SECTIONS):
        if name not in settings:
            raise ConfigError(f"setting {name} is missing")
    settings = resolve(settings)
    scalars = {name: convert(settings[name], kind, name) for name, kind in SCALARS.items()}
    method = scalars["method"]
    head = build_section(
        methods.config_class(method),
        settings.get(method, {}),
        method,
        methods.METHOD_LIMITS.get(method, {}),
    )
    built = {name: build_section(cls, settings[name], name) for name, cls in SECTIONS.items()}
    tuples = build_section(TupleOptions, settings.get("tuples", {}), "tuples", methods.TUPLE_LIMITS)
    config = Config(**scalars, **built, tuples=tuples, head=head)
    _check_together(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as a plain nested dict for JSON; `from_config_dict` reads it back."""
    settings = asdict(config)
    settings[config.method] = settings.pop("head")
    return {
        name: {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


def _check_together(config: Config) -> None:
    if config.data.resize < config.data.crop:
        raise ConfigError(
            f"data.resize is {config.data.resize}; it must be at least data.crop "
            f"({config.data.crop})"
        )
    check_method(config.method, config.head, config.tuples, config.data.frames)
    if not config.eval.shots:
        raise ConfigError("eval.shots is empty; give at least one number of shots")
    if config.seed < 0:
        raise ConfigError(f"seed is {config.seed}; it must be at least 0")
    if "{}" not in config.encoder.prompt:
        raise ConfigError(f"encoder.prompt is {config.encoder.prompt!r}; it must contain {{}}")
    for name in ("freeze", "no_decay"):
        for pattern in getattr(config.train, name):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"train.{name}: {pattern!r} is no regex: {error}") from None
