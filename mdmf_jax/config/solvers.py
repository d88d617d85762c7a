"""How the published codes train, for the config files of the data sets.

`published` sets what the code of the chosen method says about data and training; the numbers that
differ from data set to data set are its arguments. Episodes become steps of 16 episodes, in
which all these codes accumulate gradients.
"""

import re
from collections.abc import Mapping
from typing import Any

from mdmf_jax.config import frontier
from mdmf_jax.config.defaults import NestedSettings
from mdmf_jax.models.methods.registry import METHODS

# Methods that are heads of CLIP-FSAR's code, and of TRX's (TSA-MLT is built on it).
CLIP_FSAR_CODE = ("clip_fsar", "otam", "mean_pool", "cross_transformer", "zero_shot")
TRX_CODE = ("trx", "segment_transformer")
EPISODES_PER_STEP = 16

Numbers = Mapping[str, Any]


def backbone(arg: str) -> str:
    """The usual CLIP of the method in a config's argument: a ViT if adapters go into its blocks."""
    found = re.search(r"(?:^|,)method=(\w+)", arg)
    method = METHODS.get(found[1]) if found else None
    return "rn50" if method is None or method.own_encoder == "clip" else "vit_b16"


def published(
    config: NestedSettings, data_set: str, *, clip_mdmf: Numbers, clip_fsar: Numbers, trx: Numbers
) -> None:
    """Sets what the published code of `config.method` does on one data set.

    Args:
      data_set: name of its config.
      clip_mdmf, clip_fsar, trx: arguments of the functions of these names. A method of none of
        these codes gets the settings of CLIP-MDMF.
    """
    if config.method in frontier.RECIPES:
        frontier.RECIPES[config.method](config, data_set)
    elif config.method in CLIP_FSAR_CODE:
        as_clip_fsar(config, **clip_fsar)
    elif config.method in TRX_CODE:
        as_trx(config, **trx)
    else:
        as_clip_mdmf(config, **clip_mdmf)


def as_clip_mdmf(
    config: NestedSettings,
    *,
    rate: float,
    episodes: int,
    class_weight: float = 0.0,
    distill_weight: float = 1.0,
) -> None:
    """CLIP-MDMF: Adam with a constant rate and no weight decay."""
    config.train.learning_rate = rate
    config.mdmf.class_weight, config.mdmf.distill_weight = class_weight, distill_weight
    _steps(config, episodes)


def as_trx(config: NestedSettings, *, episodes: int) -> None:
    """TRX and TSA-MLT: plain SGD with a rate of 1e-3."""
    config.train.optimizer = "sgd"
    config.train.learning_rate = 1e-3
    _steps(config, episodes)


def as_clip_fsar(
    config: NestedSettings,
    *,
    rate: float,
    warmup_start: float,
    warmup: int,
    drops: tuple[int, int],
    iterations: int,
    class_weight: float,
    sampling: str = "segments",
    mirror: bool = False,
) -> None:
    """CLIP-FSAR: Adam with warm-up, two drops of the rate to a tenth, and weight decay 1e-3.

    It counts iterations of one episode on each of 4 devices, 4 of which make a step of 16
    episodes. The weight decay is the one that its code applies; that in its files is not read.
    Nor are its drops where its files seem to say, because its code counts every epoch twice.
    The baselines of its code have no files of their own and get the same settings.

    Args:
      warmup, drops, iterations: in its iterations.
      sampling: of frames; its sampling rate of 35 is "span".
      mirror: training queries are mirrored and change their colours.
    """
    train, data = config.train, config.data
    train.learning_rate, train.warmup_start = rate, warmup_start
    train.warmup_steps = round(warmup / 4)
    train.decay_at = tuple(round(drop / 4) for drop in drops)
    train.weight_decay = 1e-3
    train.no_decay = (r"/bn\d/", r"^head/.*norm/")
    _steps(config, iterations * 4)
    data.pipeline, data.sampling = "clip_fsar", sampling
    data.flip = data.jitter = mirror
    config.clip_fsar.class_weight = class_weight
    config.clip_fsar.merge_before = True  # as its 5-shot tests; for 1 shot it is the same


def _steps(config: NestedSettings, episodes: int) -> None:
    config.train.episodes_per_step = EPISODES_PER_STEP
    config.train.steps = round(episodes / EPISODES_PER_STEP)
    config.train.validate_every = max(1, config.train.steps // 10)
