"""Settings of training, checkpoints and evaluation."""

from dataclasses import dataclass
from typing import Literal

from mdmf_jax.config.fields import setting


@dataclass(frozen=True)
class TrainSection:
    """Optimisation, validation and checkpoints."""

    steps: int = setting(
        1250,
        "optimizer steps; 1250 of 16 episodes are the published 20,000",
        min=0,
        affects="training",
    )
    episodes_per_step: int = setting(16, "episodes whose mean loss makes one step", min=1)
    optimizer: Literal["adam", "adamw", "sgd"] = setting(
        "adam", '"adam", "adamw" (decoupled weight decay), or "sgd" without momentum'
    )
    beta1: float = setting(0.9, "of Adam's mean of gradients", min=0, below=1)
    beta2: float = setting(0.999, "of Adam's mean of squares", min=0, below=1)
    epsilon: float = setting(1e-8, "added to the root of Adam's mean of squares", min=0)
    learning_rate: float = setting(1e-5, "learning rate after the warm-up", min=0)
    warmup_steps: int = setting(
        0, "steps in which the rate rises in a line from `train.warmup_start`", min=0
    )
    warmup_start: float = setting(0.0, "learning rate at the first step of a warm-up", min=0)
    decay_at: tuple[int, ...] = setting(
        (), "steps from which the rate is multiplied by `train.decay_factor` (once more)", min=1
    )
    decay_factor: float = setting(0.1, "what the rate is multiplied by", min=0)
    decay_to: tuple[float, ...] = setting(
        (), "shares of the rate that hold from each step of `train.decay_at` on; (): see above"
    )
    schedule: Literal["steps", "cosine"] = setting(
        "steps", '"steps" (see `train.decay_at`), or "cosine": half a cosine down to 0'
    )
    schedule_steps: int = setting(0, "step at which the cosine ends; 0: `train.steps`", min=0)
    schedule_lag: int = setting(0, "so many steps later the rate follows its schedule", min=0)
    weight_decay: float = setting(
        0.0,
        'times the parameter, added to its gradient; with "adamw" taken off the parameter, times '
        "the rate",
        min=0,
    )
    groups: tuple[str, ...] = setting(
        (),
        'texts "REGEX:rate=FACTOR,decay=NUMBER": factor of the learning rate, and weight decay, '
        "of parameters whose path matches; the first that matches holds",
    )
    clip_norm: float = setting(
        0.0, "larger gradients (norm over all parameters) are scaled down to it; 0: none", min=0
    )
    average: float = setting(
        0.0,
        "factor by which a step's weight falls with each later one, in an average of the "
        "parameters that is validated and tested in their place; 0: no average",
        min=0,
        below=1,
    )
    no_decay: tuple[str, ...] = setting(
        (), "regular expressions; parameters whose path matches do not decay"
    )
    trained: tuple[str, ...] = setting(
        (),
        "regular expressions; only parameters whose path matches one are trained; (): those of "
        "the head, and of the encoder what it says itself",
    )
    freeze: tuple[str, ...] = setting(
        (),
        "regular expressions; parameters whose path matches are not trained; an adapter's only by "
        'one that holds the word "adapter"',
    )
    log_every: int = setting(10, "steps between two log lines", min=1, affects="speed")
    on_nan: Literal["stop", "skip"] = setting(
        "stop", 'or "skip": leave out steps without a finite loss and gradient', affects="training"
    )
    max_skipped: int = setting(10, "so many of them at most", min=1, affects="training")
    validate_every: int = setting(
        125, "steps between two validations, each with a checkpoint", min=1
    )
    validate_episodes: int = setting(500, "episodes of a validation", min=1)
    select: Literal["best", "last"] = setting(
        "best", 'tested in the end: the "best" on validation, or the "last"', reference="last"
    )
    model_devices: int = setting(
        1,
        "devices that share the large matrices; the rest share episodes",
        min=1,
        affects="speed",
    )
    shard_params: bool = setting(
        False, "divide parameters and moments over the devices of the episodes", affects="speed"
    )
    micro_batch: int = setting(
        0,
        "most episodes that a device computes at once; 0: all (more memory)",
        min=0,
        affects="speed",
    )
    remat: bool = setting(
        False,
        "compute encoder blocks again in the backward pass (less memory)",
        affects="speed",
    )
    cached_clips: int = setting(
        0, "features of so many random clips a video, made once; needs a frozen encoder", min=0
    )
    profile_from: int = setting(
        0, "first step of a trace for the profiler; 0: none", min=0, affects="speed"
    )
    profile_steps: int = setting(3, "steps of the trace", min=1, affects="speed")

    @property
    def cosine_steps(self) -> int:
        """Step at which a cosine ends; 0 without one."""
        return (self.schedule_steps or self.steps) if self.schedule == "cosine" else 0

    @property
    def allowed_to_skip(self) -> int:
        """Steps without a finite loss and gradient that may be left out."""
        return self.max_skipped if self.on_nan == "skip" else 0


@dataclass(frozen=True)
class CheckpointSection:
    """What is kept of a run."""

    keep: int = setting(
        2, "newest checkpoints to keep, beside the best one", min=1, affects="speed"
    )
    on_corrupt: Literal["error", "fallback"] = setting(
        "error", 'or "fallback": go on from the one before a damaged one', affects="speed"
    )


@dataclass(frozen=True)
class EvalSection:
    """Evaluation after training, and of `mdmf eval`."""

    split: Literal["train", "val", "test"] = setting(
        "test", "whose classes are tested in the end", affects="evaluation"
    )
    way: int = setting(5, "classes of a test episode", min=2, affects="evaluation")
    shots: tuple[int, ...] = setting(
        (1, 5), "numbers of support videos to test", min=1, affects="evaluation"
    )
    queries: int = setting(1, "query videos of each class", min=1, affects="evaluation")
    episodes: int = setting(10_000, "test episodes", min=1, affects="evaluation")
    chunk: int = setting(50, "episodes computed at once", min=1, affects="speed")
    table_gib: float = setting(
        8.0, "memory for the outputs of videos; more are done in groups", min=0, affects="speed"
    )
    feature_cache: str = setting(
        "", 'folder of stored features; "": the cache folder; "off": none', affects="speed"
    )
    untrained: bool = setting(
        False, "test the untrained head as well, for comparison", affects="evaluation"
    )
