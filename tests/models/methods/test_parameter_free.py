"""A method without parameters trains the encoder, and is resumed from its checkpoint."""

import numpy as np
import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.runs.train import train_and_evaluate


@pytest.mark.slow
def test_otam_trains_the_encoder_and_goes_on(settings, tmp_path):
    settings.method = "otam"
    settings.train.update(steps=2, validate_every=1)
    settings.eval.untrained = False
    _, history = train_and_evaluate(from_config_dict(settings), tmp_path)
    settings.train.steps = 3
    _, more = train_and_evaluate(from_config_dict(settings), tmp_path)
    assert (len(history), len(more)) == (2, 1)
    assert all(np.isfinite(step["loss"]) for step in history + more)


@pytest.mark.slow
def test_with_a_frozen_encoder_there_is_nothing_to_train(settings, tmp_path):
    settings.method = "otam"
    settings.train.freeze = ("^encoder/",)
    with pytest.raises(ConfigError, match="nothing is left to train: .* set train.steps to 0"):
        train_and_evaluate(from_config_dict(settings), tmp_path)
    settings.train.steps = 0
    results, _ = train_and_evaluate(from_config_dict(settings), tmp_path / "untrained")
    assert results["test"]["2way_1shot"]["accuracy"] > 0.3
