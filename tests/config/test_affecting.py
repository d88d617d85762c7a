"""What a setting says it affects holds for stored features and for checkpoints."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from mdmf_jax.config.affecting import affecting
from mdmf_jax.config.config import from_config_dict, to_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.config.fields import AFFECTS, effect
from mdmf_jax.config.schema import options, run_sections
from mdmf_jax.data.settings import ClipOptions
from mdmf_jax.evaluation.features.key import encoder_content
from mdmf_jax.evaluation.features.shared import SharedFeatures
from mdmf_jax.evaluation.features.store import cache_key
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.training.compatibility import differences

PARAMS = {"layer": {"kernel": np.arange(6.0).reshape(2, 3)}}
MODEL = SimpleNamespace(
    encoder=SimpleNamespace(sizes="ViT", wanted=("frames",)),
    settings=SimpleNamespace(encoder_name="clip"),
)
# By hand, apart from the fields: what test clips and their features depend on,
FEATURES = {
    "seed", "encoder.name", "encoder.normalise", "encoder.dtype", "encoder.attention",
    "data.frames", "data.resize", "data.crop", "data.pipeline", "data.sampling",
    "data.test_clips", "data.short_videos", "encoder.lora_alpha",
}  # fmt: skip
# which videos are meant,
VIDEOS = {"data.dataset", "data.root", "data.source", "data.protocol", "data.splits"}
# and what may change between two runs over one checkpoint.
FREE = {
    "train.steps", "train.log_every", "train.on_nan", "train.max_skipped", "train.model_devices",
    "train.shard_params", "train.micro_batch", "train.remat", "encoder.attention", "data.root",
    "data.loader", "data.workers", "data.cache", "train.profile_from", "train.profile_steps",
    "data.groups",
}  # fmt: skip
# Where adding one or taking another text would not do.
OTHER = {
    "method": "toy",
    "encoder.name": "toy",
    "encoder.prompt": "a film of {}",
    "encoder.lora_projections": ["fc1"],
    "encoder.lora_towers": ["text"],
    "train.decay_to": [0.5],
    "train.groups": ["^head/:rate=0.5"],
    "texts.prompts": ["a film of {}"],
    "clip_spm.heads": 4,
    "clip_spm.inner": 1024,
    "data.crop": 200,
    "trx.cardinalities": [2],
    "tuples.levels": [1, 2, 3, 5],
    "tuples.counts": [7, 4, 3, 2],
}
# The settings that all methods read are tried with one of them.
SHARED = {path for path, _, _ in options(run_sections("zero_shot", "clip"))} - {"zero_shot.scale"}
EVERY = sorted(
    (method, path)
    for method in METHODS
    for path, _, _ in options(run_sections(method, "clip"))
    if method == "mdmf" or path not in SHARED
)


def base(method):
    return to_dict(from_config_dict(get_config(f"method={method}")))


def other_value(path, field, kind, value):
    if path in OTHER:
        return OTHER[path]
    choices = get_args(kind) if get_origin(kind) is Literal else field.metadata.get("choices")
    if choices:
        return next(choice for choice in choices if choice != value)
    if kind is bool:
        return not value
    if kind is str:
        return value + "x"
    if kind in (int, float):
        return value + 1 if "below" not in field.metadata and "max" not in field.metadata else 0.15
    return [*value, 7] if kind == tuple[int, ...] else [*value, "x"]


def changed(method, path):
    """The settings of a run of a method in which one differs."""
    field, kind = next((f, k) for p, f, k in options(run_sections(method, "clip")) if p == path)
    settings = base(method)
    section, _, name = path.rpartition(".")
    target = settings[section] if section else settings
    target[name] = other_value(path, field, kind, target[name])
    if path == "encoder.name":
        settings["encoder"] = {name: target[name] for name in ("name", "path", "prompt")}
    return from_config_dict(settings)


def key(config):
    return cache_key(encoder_content(config, MODEL, PARAMS))


def shares(config, other):
    store, computed = SharedFeatures(), []
    for one in (config, other):
        store.get(one, PARAMS, "test", lambda one=one: computed.append(one) or {})
    return len(computed) == 1


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_features_are_made_again_exactly_where_they_change(toys, method, path):
    before, after = from_config_dict(base(method)), changed(method, path)
    assert before != after
    assert (key(before) != key(after)) == (path in FEATURES)
    assert shares(before, after) == (path not in FEATURES | VIDEOS)


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_a_checkpoint_refuses_exactly_what_may_not_change(toys, method, path):
    if path == "encoder.name":
        return  # with another encoder all its options differ as well
    after = to_dict(changed(method, path))
    free = path in FREE or path.startswith(("eval.", "checkpoint."))
    texts = differences(base(method), after)
    assert [text.partition(":")[0] for text in texts] == ([] if free else [path])


def test_every_effect_is_used():
    used = {
        effect(f, p.startswith("encoder.")) for p, f, _ in options(run_sections("mdmf", "clip"))
    }
    assert used == set(AFFECTS)


@pytest.mark.usefixtures("toys")
def test_an_option_of_a_new_encoder_counts_by_default():
    """Also if it leaves the parameters' shapes alone, as `blur` does."""
    settings = get_config("encoder=toy")
    before = from_config_dict(settings)
    settings.encoder.blur = 0.75
    assert key(from_config_dict(settings)) != key(before)
    settings.encoder.blur = 0.5
    settings.encoder.threads = 9
    assert key(from_config_dict(settings)) == key(before)


def test_clip_settings_are_the_features_of_the_data():
    of_data = {p for p in FEATURES if p.startswith("data.")} - {"data.short_videos"}
    assert {f"data.{field.name}" for field in fields(ClipOptions)} == of_data


def test_settings_by_effect():
    config = from_config_dict(get_config("method=otam"))
    assert affecting(config, "rounding") == {"encoder.attention": "auto"}
    assert affecting(to_dict(config), "place", "videos") == {
        "data.dataset": "folders",
        "data.root": "",
        "data.source": "auto",
        "data.protocol": "",
        "data.splits": "",
    }
    results = affecting(config, "result")
    assert results["otam.temperature"] == 0.1 and "mdmf.temperature" not in results
    assert affecting(config, "evaluation")["eval.shots"] == [1, 5]
