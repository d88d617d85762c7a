"""The entries of a comparison: a config or a checkpoint each, trained where it is asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from mdmf_jax.config.config import Config, from_stored, to_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.runs.experiment import Experiment
from mdmf_jax.runs.evaluate import Task, adapted, load_checkpoint
from mdmf_jax.runs.train import train
from mdmf_jax.training.checkpoint import Checkpoints, locate
from mdmf_jax.training.optimizer import split_params


@dataclass(frozen=True)
class Entry:
    """One method of a comparison; either a config or a checkpoint.

    Attributes:
      name: in tables and pictures, and of the folder it is trained in.
      config: its settings.
      checkpoint: a run's folder (its best checkpoint) or one checkpoint.
    """

    name: str
    config: Config | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class Ready:
    """An entry that can answer, and what a reader wants to know of it (for compare.json)."""

    experiment: Experiment
    params: Any
    facts: dict[str, Any]


def entry_config(entry: Entry, task: Task) -> Config:
    """The settings of an entry, with the folders that the task gives.

    Raises:
      UserError: the checkpoint is missing or damaged.
    """
    if entry.config is not None:
        return adapted(entry.config, task)
    folder, step = locate(entry.checkpoint)
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.best() if step is None else step
        return adapted(from_stored(checkpoints.settings(step)), task)


def make_ready(
    entry: Entry,
    task: Task,
    folder: str | Path | None,
    learning_rates: Sequence[float],
    console: Console,
) -> Ready:
    """Loads a checkpoint, or trains, or takes parameters as they begin.

    Args:
      folder: to train in; None trains nothing.
      learning_rates: to choose from by validation accuracy; empty takes the config's.

    Raises:
      ConfigError: the entry has parameters to train, but no folder is given.
      UserError: as `train` and `load_checkpoint`.
    """
    if entry.checkpoint is not None:
        experiment, params, step, _ = load_checkpoint(entry.checkpoint, task)
        facts = {"checkpoint": str(entry.checkpoint), "trained": f"to step {step}"}
        return _ready(experiment, params, facts)
    config = entry_config(entry, task)
    experiment = Experiment(config)
    if not count_trained(experiment):
        return _ready(experiment, experiment.new_state().params, {"trained": "not needed"})
    if not config.train.steps:
        return _ready(experiment, experiment.new_state().params, {"trained": "untrained"})
    if folder is None:
        raise ConfigError(
            f"{entry.name} has parameters to train; give --train=DIR, or --config.train.steps=0 "
            "to test it untrained, or a checkpoint"
        )
    return _trained(experiment, Path(folder) / folder_name(entry.name), learning_rates, console)


def count_trained(experiment: Experiment) -> int:
    """Number of parameters that the experiment's settings train."""
    params, freeze = experiment.abstract_state.params, experiment.config.train.freeze
    trained, _ = split_params(params, freeze, may_be_all=True)
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(trained))


def folder_name(name: str) -> str:
    """A name as that of a folder: letters, digits and single signs "-"."""
    return re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-.") or "entry"


def _trained(
    experiment: Experiment, folder: Path, learning_rates: Sequence[float], console: Console
) -> Ready:
    config, best, tried = experiment.config, None, {}
    for rate in learning_rates or (config.train.learning_rate,):
        if rate != experiment.config.train.learning_rate:
            section = replace(config.train, learning_rate=rate)
            experiment = Experiment(replace(config, train=section))
        console.print(f"learning rate {rate:g}", highlight=False)
        params, validation, _ = train(experiment, folder / f"rate-{rate:g}", console)
        tried[f"{rate:g}"] = validation
        if best is None or validation["accuracy"] > tried[f"{best[0]:g}"]["accuracy"]:
            best = rate, experiment, params
    rate, experiment, params = best
    chosen = f", rate {rate:g}" if len(tried) > 1 else ""
    facts = {
        "trained": f"{config.train.steps} steps{chosen}",
        "folder": str(folder / f"rate-{rate:g}"),
        "validation": tried,
    }
    return _ready(experiment, params, facts)


def _ready(experiment: Experiment, params: Any, facts: dict[str, Any]) -> Ready:
    config = experiment.config
    learnt = facts["trained"] not in ("untrained", "not needed")
    known = {
        "method": config.method,
        "checkpoint": None,
        "learning_rate": config.train.learning_rate if learnt else None,
        "parameters": count_trained(experiment) if learnt else 0,
    }
    return Ready(experiment, params, known | facts | {"settings": to_dict(config)})
