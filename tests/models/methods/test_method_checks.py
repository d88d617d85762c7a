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


@pytest.mark.parametrize("argument", ["method=segment_transformer", "matcher=segments"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuples": (9, 4, 3, 2)}, "segments.tuples asks for 9 tuples of level 1, but 8 frames"),
        (
            {"tuples": (8, 4, 3, 71)},
            "71 tuples of level 4, but 8 frames (data.frames) have only 70",
        ),
        ({"tuples": (8, 4, 0, 2)}, "segments.tuples is 0; it must be at least 1"),
        ({"tuples": (8, 4, 3)}, "segments.levels has 4 entries and segments.tuples 3"),
        ({"levels": (1, 2, 3, 9)}, "but tuples of 9 frames need at least 9 frames"),
        ({"levels": (1, 2, 2, 3)}, "must be numbers in ascending order, each once"),
        ({"levels": (2, 1, 3, 4)}, "must be numbers in ascending order, each once"),
        ({"levels": (), "tuples": ()}, "must be numbers in ascending order, each once"),
        ({"at_test": "random"}, "segments.at_test is 'random'; known: fixed, complete"),
        ({"fusion_weight": 0.0}, "segments.l2_weight, transport_weight and fusion_weight are all"),
    ],
)
def test_bad_segments(argument, changes, message):
    settings = common.get_config(argument).to_dict()
    settings["segments"].update(changes)
    with pytest.raises(ConfigError) as error:
        from_config_dict(settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_segments_need_not_fit_where_nobody_compares_them():
    settings = common.get_config()
    settings.data.frames = 3
    assert from_config_dict(settings).segments.levels == (1, 2, 3, 4)
    settings.mdmf.matcher = "segments"
    with pytest.raises(ConfigError, match="tuples of 4 frames need at least 4 frames"):
        from_config_dict(settings)


def test_cardinalities_of_trx_must_fit():
    settings = common.get_config("method=trx")
    settings.data.frames = 2
    with pytest.raises(ConfigError, match="trx.cardinalities is .* data.frames is 2"):
        from_config_dict(settings)


def test_unknown_method_and_matcher():
    with pytest.raises(ConfigError, match="unknown method 'tsm'; known: clip_fsar, cross_tr"):
        from_config_dict(common.get_config("method=tsm"))
    with pytest.raises(ConfigError, match="mdmf.matcher is 'dtw'; known: otam, segments"):
        from_config_dict(common.get_config("matcher=dtw"))


def test_the_reference_trains_the_squared_distance_alone():
    weights = [
        from_config_dict(common.get_config(f"method=segment_transformer,variant={v}")).segments
        for v in ("reference", "corrected")
    ]
    assert [w.weights for w in weights] == [{"l2": 1.0}, {"fusion": 1.0}]


def test_the_reference_of_a_baseline_reads_frames_as_clip_fsar_does():
    config = from_config_dict(common.get_config("method=otam,variant=reference"))
    assert (config.clip.normalise, config.data.flip) == ("clip", False)
