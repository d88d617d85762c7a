"""Settings: strictness, variants, round trips, and what may change between runs."""

import dataclasses
import json

import pytest

from configs import common, demo
from mdmf_jax.config.config import from_config_dict, known_settings, to_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.training.compatibility import differences

SWITCHES = {
    "reference": {
        "encoder.normalise": "none",
        "data.flip": True,
        "data.prompt_order": "reference",
        "head.text_token": "first_frame",
        "head.direction": "up2down",
        "head.condition": "text",
        "head.teacher_gradient": True,
        "head.pps_at_test": "sample",
        "head.reduction": "sum",
        "train.select": "last",
    },
    "corrected": {
        "encoder.normalise": "clip",
        "data.flip": True,
        "data.prompt_order": "by_name",
        "head.text_token": "text",
        "head.direction": "both",
        "head.condition": "text_and_visual",
        "head.teacher_gradient": False,
        "head.pps_at_test": "argmax",
        "head.reduction": "mean",
        "train.select": "best",
    },
}


def read(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("variant", SWITCHES)
def test_variant_sets_every_switch(variant):
    config = from_config_dict(common.get_config(f"variant={variant}"))
    assert {path: read(config, path) for path in SWITCHES[variant]} == SWITCHES[variant]


@pytest.mark.parametrize("variant", SWITCHES)
def test_a_switch_that_is_set_wins(variant):
    other = SWITCHES["corrected" if variant == "reference" else "reference"]
    for path, value in other.items():
        section, name = path.replace("head.", "mdmf.").split(".")
        settings = common.get_config(f"variant={variant}")
        settings[section][name] = value
        assert read(from_config_dict(settings), path) == value


def test_mirroring_is_off_where_left_and_right_matter_but_not_in_the_reference():
    for variant, flip in (("corrected", False), ("reference", True)):
        settings = common.get_config(f"variant={variant}")
        settings.data.left_right = True
        assert from_config_dict(settings).data.flip is flip


def test_the_reference_of_clip_fsar_is_its_own_code():
    config = from_config_dict(common.get_config("variant=reference,method=clip_fsar"))
    data, encoder = config.data, config.encoder
    assert (encoder.normalise, data.flip, data.prompt_order) == ("clip", False, "by_name")
    assert config.train.select == "last"
    settings = common.get_config("variant=reference,method=clip_fsar")
    settings.data.flip = True
    assert from_config_dict(settings).data.flip is True


def test_limits_of_clip_fsar():
    settings = common.get_config("method=clip_fsar")
    settings.clip_fsar.text_coefficient = 1.5
    with pytest.raises(ConfigError, match="clip_fsar.text_coefficient is 1.5; it must be at most"):
        from_config_dict(settings)


def test_common_holds_every_setting():
    settings = common.get_config().to_dict()
    known = known_settings()
    assert set(settings) == set(known[""])
    of_encoders = [set(common.get_config(f"encoder={name}").encoder) for name in ENCODERS]
    assert set().union(*of_encoders) == set(known.pop("encoder"))
    for section, names in known.items():
        assert not section or set(settings[section]) == set(names)


def test_demo_changes_only_known_settings():
    config = from_config_dict(demo.get_config("shot=5,variant=reference"))
    assert (config.episode.shot, config.variant) == (5, "reference")
    assert config.data.dataset == "demo"


def test_settings_survive_json():
    config = from_config_dict(demo.get_config())
    again = from_config_dict(json.loads(json.dumps(to_dict(config))))
    assert again == config


def test_config_is_frozen():
    config = from_config_dict(common.get_config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.steps = 3


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "trian",
            {"steps": 3},
            "unknown setting trian (did you mean train?); known: checkpoint, clip",
        ),
        ("train.stpes", 3, "unknown setting train.stpes (did you mean train.steps?)"),
        ("mdmf.depht", 2, "did you mean mdmf.depth?"),
        ("variant", "published", "variant is 'published'; known: corrected, reference"),
        ("method", "tsm", "unknown method 'tsm'; known: clip_fsar, "),
        ("seed", "0", "seed is '0'; it must be of type int"),
        ("seed", -1, "seed is -1; it must be at least 0"),
        ("train.steps", -1, "train.steps is -1; it must be at least 0"),
        ("train.steps", 2.5, "train.steps is 2.5; it must be of type int"),
        ("train.steps", True, "train.steps is True; it must be of type int"),
        ("train.learning_rate", float("nan"), "train.learning_rate is nan"),
        ("train.freeze", ("(",), "train.freeze: '(' is not a regex"),
        ("train", 3, "train is 3; it must be a section"),
        ("episode.way", 1, "episode.way is 1; it must be at least 2"),
        ("eval.shots", (), "eval.shots is empty"),
        ("eval.shots", (1, 0), "eval.shots is 0; it must be at least 1"),
        ("eval.shots", 5, "eval.shots is 5; it must be a tuple"),
        ("eval.split", "holdout", "eval.split is 'holdout'; known: train, val, test"),
        ("data.resize", 100, "data.resize is 100; it must be at least data.crop (224)"),
        ("data.loader", "torch", "data.loader is 'torch'; known: tfdata, threads"),
        ("encoder.normalise", "imagenet", "encoder.normalise is 'imagenet'; known: clip, none"),
        ("encoder.prompt", "a photo", "encoder.prompt is 'a photo'; it must contain {}"),
        ("mdmf.direction", "down", "mdmf.direction is 'down'; known: both, local_to_global"),
        ("mdmf.tcn_dropout", 1.0, "mdmf.tcn_dropout is 1.0; it must be below 1"),
        ("mdmf.temperature", 0, "mdmf.temperature is 0.0; it must be above 0"),
    ],
)
def test_bad_setting(path, value, message):
    settings = common.get_config().to_dict()
    section, _, name = path.rpartition(".")
    (settings[section] if section else settings)[name] = value
    with pytest.raises(ConfigError) as error:
        from_config_dict(settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["encoder", "seed", "train.steps"])
def test_missing_setting(path):
    settings = common.get_config().to_dict()
    section, _, name = path.rpartition(".")
    del (settings[section] if section else settings)[name]
    with pytest.raises(ConfigError, match=f"setting {path} is missing"):
        from_config_dict(settings)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("shoot=5", "config argument 'shoot=5' is unknown; known: variant="),
        ("shot", "config argument 'shot' is unknown"),
        ("shot=five", "config argument 'shot=five': 'five' is not of type int"),
    ],
)
def test_bad_config_argument(argument, message):
    with pytest.raises(ConfigError) as error:
        common.get_config(argument)
    assert message in str(error.value)


def test_differences_name_what_may_not_change():
    saved = to_dict(from_config_dict(common.get_config()))
    settings = common.get_config()
    settings.train.update(steps=7, learning_rate=1.0)
    settings.eval.episodes = 3
    settings.data.update(root="elsewhere", workers=1, cache=True, frames=4)
    settings.seed = 5
    assert differences(saved, to_dict(from_config_dict(settings))) == [
        "data.frames: 8 -> 4",
        "seed: 0 -> 5",
        "train.learning_rate: 1e-05 -> 1.0",
    ]
