"""How the published codes train, for the config files of the data sets.

Each function sets what one published code says about data and training; the numbers that
differ from data set to data set are its arguments. Episodes become steps of 16 episodes, in
which all these codes accumulate gradients.
"""

from ml_collections.config_dict import ConfigDict

# Methods that are heads of CLIP-FSAR's code, and of TRX's (TSA-MLT is built on it).
CLIP_FSAR_CODE = ("clip_fsar", "otam", "mean_pool", "cross_transformer", "zero_shot")
TRX_CODE = ("trx", "segment_transformer")
EPISODES_PER_STEP = 16


def clip_mdmf(config: ConfigDict, *, rate: float, episodes: int) -> None:
    """CLIP-MDMF: Adam with a constant rate and no weight decay."""
    config.train.learning_rate = rate
    _steps(config, episodes)


def trx(config: ConfigDict, *, episodes: int) -> None:
    """TRX and TSA-MLT: plain SGD with a rate of 1e-3."""
    config.train.optimizer = "sgd"
    config.train.learning_rate = 1e-3
    _steps(config, episodes)


def clip_fsar(
    config: ConfigDict,
    *,
    rate: float,
    warmup_start: float,
    warmup: int,
    drops: tuple[int, int],
    iterations: int,
    class_weight: float,
) -> None:
    """CLIP-FSAR: Adam with warm-up, two drops of the rate to a tenth, and weight decay 1e-3.

    It counts iterations of one episode on each of 4 devices, 4 of which make a step of 16
    episodes. The weight decay is the one that its code applies; that in its files is not read.
    Nor are its drops where its files seem to say, because its code counts every epoch twice.
    The baselines of its code have no files of their own and get the same settings.

    Args:
      warmup, drops, iterations: in its iterations.
    """
    train, data = config.train, config.data
    train.learning_rate, train.warmup_start = rate, warmup_start
    train.warmup_steps = round(warmup / 4)
    train.decay_at = tuple(round(drop / 4) for drop in drops)
    train.weight_decay = 1e-3
    train.no_decay = (r"/bn\d/", r"^head/.*norm/")
    _steps(config, iterations * 4)
    data.pipeline, data.sampling, data.flip = "clip_fsar", "segments", False
    config.clip_fsar.class_weight = class_weight
    config.clip_fsar.merge_before = True  # as its 5-shot tests; for 1 shot it is the same


def _steps(config: ConfigDict, episodes: int) -> None:
    config.train.episodes_per_step = EPISODES_PER_STEP
    config.train.steps = round(episodes / EPISODES_PER_STEP)
    config.train.validate_every = max(1, config.train.steps // 10)
