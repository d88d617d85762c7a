"""What `mdmf eval` does: test a checkpoint, or an untrained head, on many episodes."""

from dataclasses import replace
from typing import Any

from rich.console import Console

from mdmf_jax import files
from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation import provenance, tables
from mdmf_jax.evaluation.opened import Opened, open_checkpoint, open_untrained
from mdmf_jax.evaluation.task import Task, adapted
from mdmf_jax.training import distributed


def evaluate(
    task: Task,
    *,
    checkpoint: files.Name | None = None,
    config: Config | None = None,
    out: files.Name | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluates and prints accuracy by class; returns what the JSON file holds.

    An evaluation that was stopped goes on from the answers it left beside `out`.

    Args:
      checkpoint: a run's folder (its best checkpoint) or one checkpoint; None takes a random
        head, and writes a file only if `out` is given.
      config: without a checkpoint, the settings; with one they must agree with its own.
      out: file to write; by default eval_<split>_<way>way_<shot>shot.json in the run's folder.

    Raises:
      UserError: a setting, the data, the encoder or the checkpoint is wrong; see errors.py.
    """
    first = distributed.is_first()  # The others work in silence.
    console = console or Console(quiet=not first)
    if checkpoint is None:
        opened = open_untrained(adapted(_untrained(config), task))
    else:
        opened = open_checkpoint(checkpoint, task, config)
    sizes = task.sizes(opened.config)
    name = f"eval_{sizes['split']}_{provenance.task_name(sizes['way'], sizes['shot'])}.json"
    place = files.path(out) if out else opened.folder and opened.folder / name
    partial = place.with_name(f"{place.name}.partial") if place and first else None
    results = _results(opened, sizes, partial)
    if place and partial:
        files.write_json(place, results)
        partial.unlink(missing_ok=True)
    _print(console, results, place)
    return results


def with_feature_cache(opened: Opened, folder: str) -> Opened:
    """The same with stored features in another folder."""
    section = replace(opened.config.eval, feature_cache=folder)
    opened.evaluator.config = replace(opened.config, eval=section)
    return replace(opened, config=opened.evaluator.config)


def _untrained(config: Config | None) -> Config:
    if config is None:
        raise ConfigError("give --checkpoint=FOLDER, or --config=FILE for an untrained head")
    if config.train.steps:
        raise CheckpointError(
            "--checkpoint is missing; to test an untrained head add --config.train.steps=0"
        )
    return config


def _results(
    opened: Opened, sizes: dict[str, Any], partial: files.AnyPath | None
) -> dict[str, Any]:
    return {
        "split": sizes["split"],
        **opened.evaluator.evaluate(opened.params, **sizes, partial=partial),
        "seed": sizes["seed"],
        "settings": to_dict(opened.config),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "checkpoint_step": opened.step,
    }


def _print(console: Console, results: dict[str, Any], out: files.AnyPath | None) -> None:
    task = f"{results['way']}-way {results['shot']}-shot"
    console.print(tables.class_table(results))
    lines = [
        f"{task} accuracy on {results['split']} classes: {tables.with_interval(results)} "
        f"over {tables.sample_words(results)} (chance {tables.chance_words(results)})"
    ]
    if results["prompt_accuracy"] is not None:
        right, chance = tables.percent(results["prompt_accuracy"]), 1 / results["way"]
        lines.append(f"right prompt: {right} of the queries (chance {tables.percent(chance)})")
    if out:
        lines.append(f"results: {out}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
