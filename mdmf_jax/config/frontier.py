"""How the published codes of the methods with adapted towers train, for the configs of data sets.

Sources, read at these commits: yaozhang0417/TS-FSAR 1a91053, qizhongtan/D2ST-Adapter 44387fa,
Jaulin-Bage/Task-Adapter-pp 3a29783, hnlxy/CLIP-SPM 63f4361, cong-wu/EMP-Net b4dc006. Where two
processes draw the same episodes, one is meant. Where a code adds up gradients and Adam does not
see the factor, its weight decay is divided by the factor instead.
"""

from collections.abc import Callable
from typing import Any

from mdmf_jax.config.defaults import NestedSettings
from mdmf_jax.models.encoders.prompts import PROMPTS_16

SETS = ("hmdb51", "ucf101", "kinetics100", "ssv2_full", "ssv2_small")
_NORMS = r"(norm|bn)"

# By set and shot: rate of ladder and head, rate of the generator, factor of the adapter's rate,
# weights of distillation, classifier and ladder text, distillation temperature, both text scales,
# residual, dropout, exponents at test.
_TS_FSAR: dict[tuple[str, int], tuple[Any, ...]] = {
    ("hmdb51", 1): (2e-4, 1e-4, 0.5, 6, 1, 1, 10, 50, 0.4, 0.7, (0.15, 0.8, 0.05)),
    ("hmdb51", 5): (2e-4, 1e-4, 0.5, 6, 1, 1, 10, 50, 0.4, 0.6, (0.4, 0.55, 0.05)),
    ("ucf101", 1): (1e-4, 1e-4, 0.5, 6, 0.5, 1, 10, 50, 0.4, 0.7, (0.15, 0.8, 0.05)),
    ("ucf101", 5): (1e-4, 5e-5, 0.5, 6, 0.5, 1, 10, 50, 0.4, 0.7, (0.4, 0.5, 0.1)),
    ("kinetics100", 1): (2e-4, 1e-4, 0.5, 6, 0.5, 1, 10, 50, 0.4, 0.7, (0.15, 0.8, 0.05)),
    ("kinetics100", 5): (1e-4, 5e-5, 0.5, 6, 0.5, 1, 10, 50, 0.4, 0.7, (0.15, 0.8, 0.05)),
    ("ssv2_full", 1): (2e-4, 2e-4, 1, 0.01, 2, 4, 4, 100, 1.6, 0.0, (0.5, 0.1, 0.4)),
    ("ssv2_full", 5): (2e-4, 2e-4, 1, 0.01, 2, 0.1, 4, 50, 1.6, 0.0, (0.7, 0.05, 0.25)),
    ("ssv2_small", 1): (2.5e-4, 2.5e-4, 1, 0.1, 2, 0.1, 4, 50, 1.6, 0.7, (0.4, 0.2, 0.4)),
    ("ssv2_small", 5): (3e-4, 3e-4, 1, 0.01, 2, 0.01, 4, 50, 1.6, 0.7, (0.8, 0.05, 0.15)),
}

# By tower and set: weight of the class loss, tasks, rate, epochs of the drops, shares of the rate.
_D2ST: dict[str, dict[str, tuple[float, int, float, tuple[int, ...], tuple[float, ...]]]] = {
    "d2st": {
        "hmdb51": (2.5, 3000, 1e-3, (5, 7, 9), (0.5, 0.1, 0.05)),
        "ucf101": (0.0, 2400, 5e-4, (5, 7, 9), (0.1, 0.05, 0.01)),
        "kinetics100": (0.0, 3000, 5e-4, (4, 6, 8), (0.1, 0.05, 0.01)),
        "ssv2_full": (2.0, 120_000, 1e-3, (4, 6, 8), (0.5, 0.1, 0.05)),
        "ssv2_small": (0.5, 40_000, 1e-3, (4, 6, 8), (0.1, 0.05, 0.01)),
    },
    "d2st_resnet": {
        "hmdb51": (2.0, 8000, 2e-3, (4, 6, 8), (0.1, 0.05, 0.01)),
        "ucf101": (1.5, 8000, 2e-3, (2, 5, 8), (0.5, 0.1, 0.05)),
        "kinetics100": (1.5, 10_000, 2e-3, (2, 5, 8), (0.1, 0.05, 0.01)),
        "ssv2_full": (1.0, 120_000, 2e-3, (4, 6, 8), (0.5, 0.1, 0.05)),
        "ssv2_small": (0.5, 40_000, 2e-3, (4, 6, 8), (0.1, 0.05, 0.01)),
    },
}

# By set: widths of the gates of frames and texts, slope, share of the text.
_CLIP_SPM = {
    "hmdb51": (0.5, 1.5, 0.0025, 0.2),
    "ucf101": (2.0, 2.0, 0.054, 0.228),
    "kinetics100": (0.5, 1.5, 0.042, 0.86),
    "ssv2_full": (0.5, 0.75, 0.052, 0.353),
    "ssv2_small": (0.5, 1.5, 0.0025, 0.2),
}

# By set: rate, warm-up start, iterations, iterations of the warm-up.
_EMP_NET = {
    "hmdb51": (1e-4, 1e-6, 5000, 1000),
    "ucf101": (1e-4, 1e-6, 5000, 1000),
    "kinetics100": (1e-4, 1e-6, 5000, 1000),
    "ssv2_small": (1e-3, 1e-5, 10_000, 2000),
    "ssv2_full": (1e-3, 1e-5, 40_000, 8000),
}


def as_ts_fsar(config: NestedSettings, data_set: str) -> None:
    """TS-FSAR: AdamW in four groups, one episode a step, a cosine that lags a step behind."""
    numbers = _TS_FSAR[data_set, 1 if config.episode.shot < 5 else 5]
    rate, generator, adapter, distill, classifier, side, heat, scale = numbers[:8]
    residual, dropout, exponents = numbers[8:]
    train, head = config.train, config.ts_fsar
    train.optimizer, train.epsilon, train.weight_decay = "adamw", 1e-6, 0.1
    train.learning_rate = rate
    train.groups = (
        f"^head/generator/:rate={generator / rate:g}",
        f"^encoder/adapter_frames/:rate={adapter:g}",
    )
    train.schedule, train.schedule_lag = "cosine", 1
    _steps(config, 50_000 if data_set == "ssv2_full" else 10_000, 1, 5)
    train.validate_every = 2000 if data_set == "ssv2_full" else 500
    head.distill_weight, head.classifier_weight, head.side_weight = map(
        float, (distill, classifier, side)
    )
    head.distill_temperature, head.dropout = float(heat), dropout
    head.clip_scale = head.side_scale = float(scale)
    head.vision_exponent, head.clip_exponent, head.side_exponent = exponents
    if config.encoder.name == "ts_fsar":
        config.encoder.residual = residual
    _squashed(config)
    config.data.flip = not config.data.left_right


def as_d2st(config: NestedSettings, data_set: str) -> None:
    """D2ST-Adapter: Adam, eight episodes a step, 1 shot and 1 query also for 5-shot tests."""
    kind = config.encoder.name if config.encoder.name in _D2ST else "d2st"
    weight, tasks, rate, epochs, shares = _D2ST[kind][data_set]
    train, epoch = config.train, tasks / 20 / 8  # steps
    config.d2st.class_weight = weight
    train.learning_rate, train.warmup_start = rate, rate / 5
    train.warmup_steps = round(epoch)
    train.decay_at, train.decay_to = tuple(round(epoch * each) for each in epochs), shares
    train.weight_decay = 1e-3 / 8
    train.no_decay = (r"/offset_norm/",) if kind == "d2st" else (_NORMS,)
    _steps(config, tasks // 16, 8, 1)
    _squashed(config)
    if data_set == "kinetics100" and kind == "d2st":
        config.data.sampling = "span"
    config.data.flip = config.data.jitter = True
    if config.variant == "corrected":
        config.data.flip = not config.data.left_right


def as_task_adapter_pp(config: NestedSettings, data_set: str) -> None:
    """Task-Adapter++: plain SGD, one episode of one query a class each step."""
    config.train.optimizer, config.train.learning_rate = "sgd", 1e-3
    _steps(config, 10_000, 1, 1)
    config.task_adapter_pp.cross_norm = data_set == "ssv2_full"
    if config.encoder.name == "task_adapter_pp" and data_set.startswith("ssv2"):
        config.encoder.image_adapted, config.encoder.text_adapted = 6, 2
    _squashed(config)
    config.data.flip = False


def as_clip_spm(config: NestedSettings, data_set: str) -> None:
    """CLIP-SPM: the whole image tower, Adam with a constant rate, sixteen episodes a step."""
    train, head, large = config.train, config.clip_spm, data_set == "ssv2_full"
    train.learning_rate, train.beta1 = (1.6e-5 if large else 1e-5), 0.5
    train.weight_decay = 9.7e-4 if large else 5e-5
    episodes = 100_010 if data_set.startswith("ssv2") else 20_010
    _steps(config, episodes // 16, 16, 4)
    head.vision_gate, head.text_gate, head.slope, head.text_share = _CLIP_SPM[data_set]
    config.data.flip = not data_set.startswith("ssv2")
    config.texts.prompts = PROMPTS_16


def as_emp_net(config: NestedSettings, data_set: str) -> None:
    """EMP-Net: Adam, four episodes a step, two drops to a tenth."""
    rate, start, iterations, epoch = _EMP_NET[data_set]
    train = config.train
    train.learning_rate, train.warmup_start = rate, start
    train.warmup_steps = epoch // 4
    train.decay_at = (epoch // 2, 3 * epoch // 4)
    train.weight_decay, train.no_decay = 1e-3 / 4, (_NORMS,)
    _steps(config, iterations // 4, 4, 5)
    config.emp_net.merge_before = config.episode.shot > 1
    config.texts.prompts = PROMPTS_16
    _squashed(config)
    config.data.flip = config.data.jitter = True
    if config.variant == "corrected":
        config.data.flip = not config.data.left_right


RECIPES: dict[str, Callable[[NestedSettings, str], None]] = {
    "ts_fsar": as_ts_fsar,
    "d2st": as_d2st,
    "task_adapter_pp": as_task_adapter_pp,
    "clip_spm": as_clip_spm,
    "emp_net": as_emp_net,
}


def _squashed(config: NestedSettings) -> None:
    """The whole frame squashed to a square, one frame of each segment."""
    config.data.pipeline, config.data.sampling = "clip_fsar", "segments"


def _steps(config: NestedSettings, steps: int, episodes: int, queries: int) -> None:
    config.train.steps, config.train.episodes_per_step = steps, episodes
    config.train.validate_every = max(1, steps // 10)
    config.episode.queries = queries
