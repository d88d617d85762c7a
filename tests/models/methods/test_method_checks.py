"""Settings of methods that do not fit each other or the number of frames."""

import pytest

from configs import common
from mdmf_jax.config.config import from_config_dict, to_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.methods.registry import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_defaults_that_fit(method):
    config = from_config_dict(common.get_config(f"method={method}"))
    assert from_config_dict(to_dict(config)) == config


@pytest.mark.parametrize("argument", ["method=segment_transformer", "matcher=tuples"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": (9, 4, 3, 2)}, "tuples.counts asks for 9 tuples of level 1, but 8 frames"),
        (
            {"counts": (8, 4, 3, 71)},
            "71 tuples of level 4, but 8 frames (data.frames) have only 70",
        ),
        ({"counts": (8, 4, 0, 2)}, "tuples.counts is 0; it must be at least 1"),
        ({"counts": (8, 4, 3)}, "tuples.levels has 4 entries and tuples.counts 3"),
        ({"levels": (1, 2, 3, 9)}, "but tuples of 9 frames need at least 9 frames"),
        ({"levels": (1, 2, 2, 3)}, "must be numbers in ascending order, each once"),
        ({"levels": (2, 1, 3, 4)}, "must be numbers in ascending order, each once"),
        ({"levels": (), "counts": ()}, "must be numbers in ascending order, each once"),
        ({"at_test": "random"}, "tuples.at_test is 'random'; known: fixed, complete"),
        ({"fusion_weight": 0.0}, "tuples.l2_weight, transport_weight and fusion_weight are all"),
    ],
)
def test_bad_tuples(argument, changes, message):
    settings = common.get_config(argument).to_dict()
    settings["tuples"].update(changes)
    with pytest.raises(ConfigError) as error:
        from_config_dict(settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_segments_need_not_fit_where_nobody_compares_them():
    settings = common.get_config()
    settings.data.frames = 3
    assert from_config_dict(settings).sections["tuples"].levels == (1, 2, 3, 4)
    settings.mdmf.matcher = "tuples"
    with pytest.raises(ConfigError, match="tuples of 4 frames need at least 4 frames"):
        from_config_dict(settings)


def test_cardinalities_of_trx_must_fit():
    settings = common.get_config("method=trx")
    settings.data.frames = 2
    with pytest.raises(ConfigError, match="trx.cardinalities is .* data.frames is 2"):
        from_config_dict(settings)


def test_unknown_method_and_matcher():
    with pytest.raises(ConfigError, match="unknown method 'tsm'; known: clip_fsar, "):
        from_config_dict(common.get_config("method=tsm"))
    with pytest.raises(ConfigError, match="mdmf.matcher is 'dtw'; known: otam, tuples"):
        from_config_dict(common.get_config("matcher=dtw"))


def test_the_reference_trains_the_squared_distance_alone():
    weights = [
        from_config_dict(common.get_config(f"method=segment_transformer,variant={v}")).sections[
            "tuples"
        ]
        for v in ("reference", "corrected")
    ]
    assert [w.weights for w in weights] == [{"l2": 1.0}, {"fusion": 1.0}]


def test_the_reference_of_a_baseline_reads_frames_as_clip_fsar_does():
    config = from_config_dict(common.get_config("method=otam,variant=reference"))
    assert (config.encoder.normalise, config.data.flip) == ("clip", False)
