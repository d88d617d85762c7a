"""Settings under the names that version 0.1.0 had for them."""

import json
from pathlib import Path

import pytest

from mdmf_jax.config.config import from_config_dict, from_stored, to_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.config.load import load_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.training.compatibility import differences

# As the checkpoints of version 0.1.0 hold them.
STORED = json.loads((Path(__file__).parent / "settings_0_1_0.json").read_text())


@pytest.mark.parametrize("text", [name for name in STORED if not name.endswith("segments")])
def test_stored_settings_are_those_of_the_same_config_today(text, capsys):
    name, method, variant = text.split(":")
    today = load_config(f"{name}:method={method},variant={variant},shot=5")
    assert from_stored(STORED[text]) == today
    assert capsys.readouterr().err == ""


def test_stored_settings_with_changed_values():
    expected = load_config(
        "common:matcher=tuples",
        [
            "--config.mdmf.temperature=0.25",
            "--config.tuples.counts=(7,4,3,2)",
            "--config.data.test_clips=3",
            "--config.train.cached_clips=2",
            "--config.eval.split=val",
            "--config.encoder.path=weights/x",
        ],
    )
    assert from_stored(STORED["common:mdmf:segments"]) == expected


def test_a_checkpoint_of_0_1_0_fits_the_same_config(capsys):

    for text in ("common:trx:reference", "demo:mdmf:reference"):
        name, method, variant = text.split(":")
        config = load_config(f"{name}:method={method},variant={variant},shot=5")
        assert differences(STORED[text], to_dict(config)) == []
        config = load_config(f"{name}:method={method},variant={variant},shot=4")
        assert differences(STORED[text], to_dict(config)) == ["episode.shot: 5 -> 4"]
    assert capsys.readouterr().err == ""


def test_stored_settings_are_checked():
    settings = json.loads(json.dumps(STORED["common:trx:reference"]))
    settings["clip"]["normalise"] = "imagenet"
    with pytest.raises(ConfigError, match="encoder.normalise is 'imagenet'; known: clip, none"):
        from_stored(settings)
    with pytest.raises(ConfigError, match="unknown setting train.speed"):
        from_stored(STORED["common:trx:reference"] | {"train": {"speed": 1}})


def test_settings_that_are_newer_than_a_checkpoint_take_their_defaults():
    settings = json.loads(json.dumps(STORED["demo:mdmf:reference"]))
    full = from_stored(settings)
    del settings["train"]["log_every"], settings["train"]["select"], settings["mdmf"]["reduction"]
    again = from_stored(settings)
    assert again == full and (again.train.select, again.head.reduction) == ("last", "sum")
    with pytest.raises(ConfigError, match="setting train.log_every is missing"):
        incomplete = to_dict(full)
        del incomplete["train"]["log_every"]
        from_config_dict(incomplete)


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("clip.path", "x", "encoder.path"),
        ("segments.levels", "(1,2,3,5)", "tuples.levels"),
        ("segments.tuples", "(7,4,3,2)", "tuples.counts"),
        ("mdmf.smoothing", "0.75", "mdmf.temperature"),
        ("data.test_views", "3", "data.test_clips"),
        ("train.cached_views", "3", "train.cached_clips"),
        ("eval.part", "val", "eval.split"),
    ],
)
def test_overrides_and_items_warn_once(capsys, old, value, new):
    text = "common:matcher=tuples"
    expected = load_config(text, [f"--config.{new}={value}"])
    assert capsys.readouterr().err == ""
    assert load_config(text, [f"--config.{old}={value}"]) == expected
    warning = capsys.readouterr().err
    assert warning == f"warning: old names of settings: {old} is now {new}\n"
    assert load_config(f"{text},{old}={value}") == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("item", ["matcher=segments", "mdmf.matcher=segments"])
def test_the_old_matcher(capsys, item):
    assert load_config(f"common:{item}") == load_config("common:matcher=tuples")
    warning = "warning: old names of settings: mdmf.matcher=segments is now mdmf.matcher=tuples\n"
    assert capsys.readouterr().err == warning


def test_nested_settings_warn(capsys):
    settings = get_config("method=otam").to_dict()
    settings["clip"] = settings.pop("encoder")
    settings["otam"] = {"smoothing": 0.25}
    config = from_config_dict(settings)
    assert (config.head.temperature, config.encoder_name) == (0.25, "clip")
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "clip is now encoder" in warning and "otam.smoothing is now otam.temper" in warning


def test_a_config_file_of_0_1_0(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from mdmf_jax.config import defaults\n\n"
        "def get_config(arg=''):\n"
        "    config = defaults.get_config()\n"
        "    config.clip.path = 'mine'\n"
        "    config.clip.prompt = '{}'\n"
        "    config.mdmf.smoothing = 0.75\n"
        "    config.mdmf.matcher = 'segments'\n"
        "    config.segments.tuples = (7, 4, 3, 2)\n"
        "    return config\n"
    )
    config = load_config(f"{tmp_path}/mine.py")
    assert (config.encoder.path, config.encoder.prompt) == ("mine", "{}")
    assert (config.head.temperature, config.head.matcher) == (0.75, "tuples")
    assert config.sections["tuples"].counts == (7, 4, 3, 2)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_new_names_win_over_nothing_and_unknown_ones_stay_errors():
    for name in ("clips", "segment", "views"):
        with pytest.raises(ConfigError, match=f"unknown setting {name}"):
            from_config_dict(get_config().to_dict() | {name: {}})
