"""The average of the parameters in a run: validated, tested, resumed and read back."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.restore import restore

RECIPE = {
    "train.freeze": ("^encoder/(?!visual_projection)",),
    "train.average": 0.6,
    "train.clip_norm": 1.0,
    "train.optimizer": "adamw",
    "train.weight_decay": 0.1,
    "train.schedule": "cosine",
    "train.groups": ("kernel$:rate=0.5,decay=0",),
    "eval.shots": (1,),
    "eval.untrained": False,
}


def config_of(tiny, **changes):
    settings = get_config("method=mean_pool")
    settings.update_from_flattened_dict(tiny | RECIPE | changes)
    return from_config_dict(settings)


def train(config, folder):
    return train_and_evaluate(config, folder, Console(file=io.StringIO()))


def state_of(config, folder):
    with Checkpoints(folder / FOLDER) as checkpoints:
        abstract = make_run(config).trainer.abstract_state
        return jax.device_get(checkpoints.restore(config.train.steps, abstract))


def test_a_run_with_an_average(tiny, tmp_path):
    config = config_of(tiny, **{"train.select": "last"})
    whole, history = train(config, tmp_path / "whole")
    stopped = dataclasses.replace(config.train, steps=2, schedule_steps=4)
    fixed = dataclasses.replace(config, train=dataclasses.replace(stopped, steps=4))
    _, first = train(dataclasses.replace(config, train=stopped), tmp_path / "run")
    again, second = train(fixed, tmp_path / "run")
    assert first + second == history and again["test"] == whole["test"]
    state = state_of(config, tmp_path / "whole")
    jax.tree.map(np.testing.assert_array_equal, state, state_of(fixed, tmp_path / "run"))

    # What is tested and read back is the average, by itself alone.
    read = flatten_dict(restore(tmp_path / "whole").params, sep="/")
    last, average = (flatten_dict(t, sep="/") for t in (state.params, state.opt_state.average))
    assert average.keys() == {path for path in last if not np.array_equal(last[path], read[path])}
    for path in last:
        np.testing.assert_array_equal(read[path], average.get(path, last[path]))
    evaluator = make_run(config).evaluator
    sizes = dict(way=2, shot=1, queries=1, episodes=20, seed=0)
    metrics = evaluator.evaluate(restore(tmp_path / "whole").params, "test", **sizes)
    assert metrics["accuracy"] == whole["test"]["2way_1shot"]["accuracy"]

    # The rate of a cosine depends on the number of steps, unless its own end is given.
    longer = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=6))
    with pytest.raises(CheckpointError, match="train.steps: 4 -> 6"):
        train(longer, tmp_path / "whole")


def test_groups_without_a_trained_parameter(tiny):
    for pattern in ("^heads/", "^encoder/vision_model"):
        config = config_of(tiny, **{"train.groups": (f"{pattern}:rate=2",)})
        with pytest.raises(ConfigError, match="matches no parameter that is trained"):
            make_run(config)
