"""The config files of the data sets: every combination, and the published settings."""

import importlib
from itertools import product

import numpy as np
import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.frontier import RECIPES
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.training.optimizer import rate_schedule

# Of CLIP-FSAR's files: rate, warm-up start, iterations of an "epoch", STEPS, tasks, class weight.
CLIP_FSAR = {
    "hmdb51": (1e-5, 1e-6, 700, (0, 4, 6), 5000, 1.2),
    "ucf101": (2e-6, 1e-7, 600, (0, 4, 6), 3000, 1.5),
    "kinetics100": (1e-5, 5e-6, 250, (0, 6, 9), 5000, 1.5),
    "ssv2_small": (5e-5, 2e-5, 2000, (0, 4, 6), 30000, 3.0),
    "ssv2_full": (5e-5, 1e-5, 4000, (0, 4, 6), 30000, 3.0),
}
DATA_SETS = tuple(CLIP_FSAR)


def build(name, arg=""):
    return from_config_dict(importlib.import_module(f"configs.{name}").get_config(arg))


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_combination(name):
    for method, variant, backbone, shot in product(
        METHODS, ("corrected", "reference"), ("rn50", "vit_b16"), (1, 5)
    ):
        config = build(name, f"shot={shot},backbone={backbone},method={method},variant={variant}")
        assert (config.method, config.variant, config.episode.shot) == (method, variant, shot)
        assert config.encoder.path == f"weights/clip-{backbone.replace('_', '-')}"
        if method not in RECIPES:
            assert config.train.episodes_per_step == 16
        assert config.train.steps > 100


@pytest.mark.parametrize("name", DATA_SETS)
def test_protocol_exists_and_left_and_right_are_its(name):
    for variant, method in product(("corrected", "reference"), ("mdmf", "trx")):
        data = build(name, f"variant={variant},method={method}").data
        protocol = protocols.load(data.protocol)
        assert data.left_right is protocol.left_right
        assert data.flip is (variant == "reference" or not protocol.left_right)


def published_rate(iteration, base, start, epoch, steps):
    """The rule of CLIP-FSAR's code, in which an iteration counts its epoch twice."""
    passed = iteration // epoch + iteration / epoch
    if passed < 1:
        return start + passed * (base - start)
    last = 2 if passed >= 10 else max(i for i, begin in enumerate(steps) if passed >= begin)
    return base * 0.1**last


@pytest.mark.parametrize("name", DATA_SETS)
def test_rates_of_clip_fsar_are_those_of_its_code(name):
    base, start, epoch, steps, tasks, weight = CLIP_FSAR[name]
    config = build(name, "method=clip_fsar")
    train = config.train
    schedule = rate_schedule(
        train.learning_rate,
        train.warmup_steps,
        train.warmup_start,
        train.decay_at,
        train.decay_factor,
    )
    assert train.steps == tasks // 4 and config.head.class_weight == weight
    assert train.weight_decay == 1e-3 and config.encoder.normalise == "clip"
    near = {s + d for s in (train.warmup_steps, *train.decay_at) for d in (-1, 0, 1)}
    compared = [s for s in range(0, train.steps, 7) if s not in near]
    ours = np.asarray(schedule(np.array(compared)))
    published = [published_rate(4 * s, base, start, epoch, steps) for s in compared]
    np.testing.assert_allclose(ours, published, rtol=0.01)
    assert ours[-1] < base / 50


def test_settings_of_the_other_codes():
    assert build("hmdb51").train.learning_rate == 1e-6
    assert build("hmdb51").train.steps == 1251
    kinetics = build("kinetics100")
    head = kinetics.head
    assert (head.class_weight, head.query_weight, head.distill_weight) == (0.5, 1.0, 0.5)
    assert kinetics.train.learning_rate == 1e-5 and kinetics.train.steps == 4689
    for method in ("trx", "segment_transformer"):
        train = build("ssv2_full", f"method={method}").train
        assert (train.optimizer, train.learning_rate, train.weight_decay) == ("sgd", 1e-3, 0)
    data = build("kinetics100", "method=clip_fsar").data
    assert (data.pipeline, data.sampling, data.flip, data.jitter) == (
        "clip_fsar",
        "span",
        True,
        True,
    )


def test_settings_of_the_frontier_methods():
    """Against the tables of the published programs, worked out by hand."""
    config = build("ssv2_full", "method=ts_fsar,shot=5")
    train, head = config.train, config.head
    assert config.encoder_name == "ts_fsar" and config.encoder.path == "weights/clip-vit-b16"
    assert (train.optimizer, train.epsilon, train.weight_decay) == ("adamw", 1e-6, 0.1)
    assert (train.steps, train.episodes_per_step, train.learning_rate) == (50_000, 1, 2e-4)
    assert (head.vision_exponent, head.clip_exponent, head.side_exponent) == (0.7, 0.05, 0.25)
    assert (head.clip_scale, config.encoder.residual, head.dropout) == (50, 1.6, 0.0)
    assert build("ucf101", "method=ts_fsar,shot=5").train.groups[0].endswith("rate=0.5")

    train = build("hmdb51", "method=d2st").train  # 3,000 tasks, two processes, 8 a step
    assert (train.steps, train.episodes_per_step, train.warmup_steps) == (187, 8, 19)
    assert train.decay_at == (94, 131, 169) and train.decay_to == (0.5, 0.1, 0.05)
    data = build("ssv2_full", "method=d2st,variant=reference").data
    assert data.flip and data.jitter  # the published queries are mirrored
    assert not build("ssv2_full", "method=d2st").data.flip
    assert build("ucf101", "method=d2st,encoder=d2st_resnet").head.class_weight == 1.5

    config = build("ssv2_small", "method=task_adapter_pp")
    assert (config.encoder.image_adapted, config.encoder.text_adapted) == (6, 2)
    assert (config.train.optimizer, config.train.steps, config.episode.queries) == (
        "sgd",
        10_000,
        1,
    )
    assert build("ssv2_full", "method=task_adapter_pp").head.cross_norm

    config = build("kinetics100", "method=clip_spm")
    assert (config.train.steps, config.train.beta1, config.train.weight_decay) == (1250, 0.5, 5e-5)
    assert (config.head.text_share, config.episode.queries) == (0.86, 4)

    train = build("ssv2_full", "method=emp_net").train
    assert (train.steps, train.warmup_steps, train.decay_at) == (10_000, 2000, (4000, 6000))


def test_unknown_backbone():
    with pytest.raises(ConfigError, match="'vit_l14' is unknown; known: rn50, vit_b16"):
        build("hmdb51", "backbone=vit_l14")
