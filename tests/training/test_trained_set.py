"""Which parameters are trained: as the encoder, `train.trained` and `train.freeze` say."""

import pytest
from flax.traverse_util import flatten_dict

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.methods.otam import OTAM
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.runs.train import make_run
from mdmf_jax.training.optimizer import split_params


class SaysItself(CLIPEncoder):
    @classmethod
    def trains(cls, options):
        return r"visual_projection|post_layernorm"


class OwnEncoder(OTAM):
    own_encoder = "says"


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENCODERS, "says", SaysItself)
    monkeypatch.setitem(METHODS, "own", OwnEncoder)


def trained_paths(argument, tiny, tmp_path, **changes):
    settings = get_config(argument)
    settings.update_from_flattened_dict(
        tiny | {"eval.feature_cache": str(tmp_path), "train.freeze": ()} | changes
    )
    config = from_config_dict(settings)
    params = make_run(config).trainer.abstract_state.params
    return set(flatten_dict(split_params(params, config.frozen, may_be_all=True)[0], sep="/"))


def test_what_is_trained(tiny, tmp_path):
    own = {
        "encoder/visual_projection/kernel",
        "encoder/vision_model/post_layernorm/bias",
        "encoder/vision_model/post_layernorm/scale",
    }
    # The method brings its encoder, and the encoder says what of it is trained.
    assert trained_paths("method=own", tiny, tmp_path) == own
    freeze = {"train.freeze": ("layernorm",)}
    assert trained_paths("method=own", tiny, tmp_path, **freeze) == {sorted(own)[-1]}
    only = {"train.trained": (r"layers/0/mlp/fc1", r"^head/scale$")}
    assert trained_paths("method=clip_fsar,encoder=says", tiny, tmp_path, **only) == {
        "encoder/vision_model/encoder/layers/0/mlp/fc1/kernel",
        "encoder/vision_model/encoder/layers/0/mlp/fc1/bias",
        "head/scale",
    }
    with pytest.raises(ConfigError, match="train.trained: 'layers/99' matches no parameter"):
        trained_paths("method=otam", tiny, tmp_path, **{"train.trained": ("layers/99",)})


def test_new_parameters_do_not_stay_random_by_mistake(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(SaysItself, "new_params", "visual_projection")
    frozen = {"train.freeze": ("^encoder/",)}
    with pytest.raises(ConfigError, match="all other new parameters of the encoder says untrained"):
        trained_paths("method=clip_fsar,encoder=says", tiny, tmp_path, **frozen)


def test_a_chosen_encoder_stays_when_the_method_changes():
    config = get_config("encoder=says,method=otam")
    assert config.encoder.name == "says"
    assert get_config("method=own,encoder=clip").encoder.name == "clip"
    assert get_config("method=own").encoder.name == "says"


def test_new_leaves_at_the_top_of_an_encoder_are_trained(tiny, tmp_path):
    found = trained_paths("method=emp_net", tiny, tmp_path, **{"emp_net.top_patches": 2})
    assert {path.split("/")[1] for path in found} == {
        *(f"adapter_reasoning_{number}" for number in range(3)),
        *(
            f"{place}_{view}"
            for place in ("adapter", "fusion")
            for view in ("token", "frame", "patch")
        ),
    }
