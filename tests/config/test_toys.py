"""A method and an encoder that the package does not know are configured like any other."""

import pytest
from config.toys import MemoryOptions, ToyEncoderOptions, ToyOptions

from mdmf_jax.config.config import from_config_dict, from_stored, to_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.config.load import load_config
from mdmf_jax.config.schema import known_settings
from mdmf_jax.errors import ConfigError

pytestmark = pytest.mark.usefixtures("toys")


def test_defaults_and_round_trip():
    settings = get_config("method=toy,encoder=toy")
    assert settings.toy.mode == "soft" and settings.toy.sharpness is None
    assert settings.encoder.threads == 2 and "normalise" not in settings.encoder
    config = from_config_dict(settings)
    assert config.encoder_name == "toy" and config.encoder == ToyEncoderOptions()
    assert config.head == ToyOptions() and config.sections == {"memory": MemoryOptions()}
    assert from_config_dict(to_dict(config)) == from_stored(to_dict(config)) == config


def test_the_reference_is_that_of_its_code():
    config = from_config_dict(get_config("method=toy,encoder=toy,variant=reference"))
    assert (config.head.sharpness, config.encoder.blur, config.data.flip) == (1.0, 0.25, False)
    other = from_config_dict(get_config("method=otam,encoder=toy,variant=reference"))
    assert other.encoder.blur == 0.0
    own = from_config_dict(get_config("method=toy,variant=reference"))
    assert own.encoder.normalise == "none"


def test_settings_of_other_methods_and_encoders():
    known = known_settings()
    assert set(known["memory"]) == {"slots"}
    assert {"blur", "normalise", "name"} <= set(known["encoder"])
    assert "memory" not in to_dict(from_config_dict(get_config("method=otam")))


def test_its_own_check():
    with pytest.raises(ConfigError, match="memory.slots is more than data.frames"):
        load_config("common:method=toy", ["--config.memory.slots=9"])


def test_overrides_choose_the_encoder_first():
    config = load_config("demo", ["--config.encoder.blur=1", "--config.encoder.name=toy"])
    assert config.encoder == ToyEncoderOptions("packaged:demo", "a video of {}", blur=1.0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--config.encoder.blur=1"], "unknown setting encoder.blur; known in encoder: adapter, "),
        (["--config.encoder.name=toi"], "unknown encoder 'toi'; known: clip, "),
        (
            ["--config.encoder.name=toy", "--config.encoder.dtype=bfloat16"],
            "unknown setting encoder.dtype; known in encoder: blur, name, path, prompt, threads",
        ),
    ],
)
def test_options_of_another_encoder_are_refused(overrides, message):
    with pytest.raises(ConfigError) as error:
        load_config("demo", overrides)
    assert message in str(error.value)


def test_options_of_another_encoder_in_a_dict_are_refused():
    settings = get_config().to_dict()
    settings["encoder"]["name"] = "toy"
    with pytest.raises(ConfigError, match="unknown setting encoder.adapter; known in encoder"):
        from_config_dict(settings)
