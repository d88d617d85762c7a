"""The entries of a comparison: a config or a checkpoint each, trained where it is asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from rich.console import Console

from mdmf_jax import files
from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.evaluator import Evaluator
from mdmf_jax.evaluation.opened import Opened, open_checkpoint
from mdmf_jax.evaluation.task import Task, adapted
from mdmf_jax.model import Params
from mdmf_jax.runs.train import TrainRun, make_run, train
from mdmf_jax.training.optimizer import split_params
from mdmf_jax.training.restore import find


@dataclass(frozen=True)
class Entry:
    """One method of a comparison; either a config or a checkpoint.

    Attributes:
      name: in tables and pictures, and of the folder it is trained in.
      config: its settings.
      checkpoint: a run's folder (its best checkpoint) or one checkpoint.
      group: name of the method, of which there is an entry for each seed.
    """

    name: str
    config: Config | None = None
    checkpoint: str | None = None
    group: str = ""


def for_seeds(entries: Sequence[Entry], seeds: Sequence[int]) -> list[Entry]:
    """Every entry once for each seed.

    Raises:
      ConfigError: an entry is a checkpoint, which was trained with its own seed.
    """
    made = []
    for entry in entries:
        if entry.config is None:
            raise ConfigError(f"{entry.name} is a checkpoint; --seeds goes with --config alone")
        for seed in seeds:
            config = replace(entry.config, seed=seed)
            made.append(Entry(f"{entry.name}, seed {seed}", config, group=entry.name))
    return made


@dataclass(frozen=True)
class Ready:
    """An entry that can answer, and what a reader wants to know of it (for compare.json)."""

    config: Config
    evaluator: Evaluator
    params: Params
    facts: dict[str, Any]


def entry_config(entry: Entry, task: Task) -> Config:
    """The settings of an entry, with the places that the task gives.

    Raises:
      UserError: the checkpoint is missing or damaged.
    """
    if entry.config is not None:
        return adapted(entry.config, task)
    return adapted(find(entry.checkpoint or "").config, task)


def make_ready(
    entry: Entry,
    task: Task,
    folder: files.Name | None,
    learning_rates: Sequence[float],
    console: Console,
) -> Ready:
    """Loads a checkpoint, or trains, or takes parameters as they begin.

    Args:
      folder: to train in; None trains nothing.
      learning_rates: to choose from by validation accuracy; empty takes the config's.

    Raises:
      ConfigError: the entry has parameters to train, but no folder is given.
      UserError: as `train` and `open_checkpoint`.
    """
    if entry.checkpoint is not None:
        return _of_checkpoint(entry.checkpoint, open_checkpoint(entry.checkpoint, task))
    config = entry_config(entry, task)
    run = make_run(config)
    if not count_trained(run):
        return _ready(run, run.trainer.new_state().params, {"trained": "not needed"})
    if not config.train.steps:
        return _ready(run, run.trainer.new_state().params, {"trained": "untrained"})
    if folder is None:
        raise ConfigError(
            f"{entry.name} has parameters to train; give --train=DIR, or --config.train.steps=0 "
            "to test it untrained, or a checkpoint"
        )
    return _trained(run, files.path(folder) / folder_name(entry.name), learning_rates, console)


def count_trained(run: TrainRun) -> int:
    """Number of parameters that the run's settings train."""
    return _count(run.trainer.abstract_state.params, run.config)


def folder_name(name: str) -> str:
    """A name as that of a folder: letters, digits and single signs "-"."""
    return re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-.") or "entry"


def _count(params: Params, config: Config) -> int:
    trained, _ = split_params(params, config.frozen, may_be_all=True)
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(trained))


def _of_checkpoint(name: str, opened: Opened) -> Ready:
    facts = _facts(opened.config, opened.params, {"trained": f"to step {opened.step}"})
    facts["checkpoint"] = str(name)
    return Ready(opened.config, opened.evaluator, opened.params, facts)


def _trained(
    run: TrainRun, folder: files.AnyPath, learning_rates: Sequence[float], console: Console
) -> Ready:
    config, best, tried = run.config, None, {}
    for rate in learning_rates or (config.train.learning_rate,):
        if rate != run.config.train.learning_rate:
            run = make_run(replace(config, train=replace(config.train, learning_rate=rate)))
        console.print(f"learning rate {rate:g}", highlight=False)
        params, validation, _ = train(run, folder / f"rate-{rate:g}", console)
        if validation is None:
            raise ConfigError("train.steps is 0: there is nothing to train and to choose a rate by")
        tried[f"{rate:g}"] = validation
        if best is None or validation["accuracy"] > tried[f"{best[0]:g}"]["accuracy"]:
            best = rate, run, params
    assert best is not None  # there is at least one rate
    rate, run, params = best
    chosen = f", rate {rate:g}" if len(tried) > 1 else ""
    facts = {
        "trained": f"{config.train.steps} steps{chosen}",
        "folder": str(folder / f"rate-{rate:g}"),
        "validation": tried,
    }
    return _ready(run, params, facts)


def _ready(run: TrainRun, params: Params, facts: dict[str, Any]) -> Ready:
    return Ready(run.config, run.evaluator, params, _facts(run.config, params, facts))


def _facts(config: Config, params: Params, facts: dict[str, Any]) -> dict[str, Any]:
    learnt = facts["trained"] not in ("untrained", "not needed")
    known = {
        "method": config.method,
        "checkpoint": None,
        "learning_rate": config.train.learning_rate if learnt else None,
        "parameters": _count(params, config) if learnt else 0,
    }
    return known | facts | {"settings": to_dict(config)}
