"""What `python eval.py` does: test a checkpoint, or an untrained head, on many episodes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mdmf_jax.config import Config, from_config_dict, to_dict
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation import report, tables
from mdmf_jax.experiment import Experiment
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints, locate


@dataclass(frozen=True)
class Task:
    """What to evaluate; None takes the value of the config.

    Attributes:
      part: "train", "val" or "test".
      way, shot, queries: sizes of an episode; `queries` is per class.
      episodes: number of episodes.
      seed: names the sequence of episodes, together with the part.
      clip, data: folders of the CLIP and of the videos, where they have moved.
    """

    part: str | None = None
    way: int | None = None
    shot: int | None = None
    queries: int | None = None
    episodes: int | None = None
    seed: int | None = None
    clip: str | None = None
    data: str | None = None


def evaluate(
    task: Task,
    *,
    checkpoint: str | Path | None = None,
    config: Config | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluates and prints accuracy by class; returns what the JSON file holds.

    Args:
      checkpoint: a run's folder (its best checkpoint) or one checkpoint; None takes a random
        head, and writes a file only if `out` is given.
      config: without a checkpoint, the settings; with one they must agree with its own.
      out: file to write; by default eval_<part>_<way>way_<shot>shot.json in the run's folder.

    Raises:
      UserError: a setting, the data, the CLIP or the checkpoint is wrong; see errors.py.
    """
    console = console or Console()
    if checkpoint is None:
        config, step, default = _untrained(config), None, None
        experiment = Experiment(_adapted(config, task))
        params = experiment.new_state().params
    else:
        folder, step = locate(checkpoint)
        default = folder.parent if folder.name == FOLDER else folder
        with Checkpoints(folder) as checkpoints:
            step = checkpoints.best() if step is None else step
            if config is not None:
                checkpoints.check(step, to_dict(config))
            config = config or from_config_dict(checkpoints.settings(step))
            experiment = Experiment(_adapted(config, task))
            params = checkpoints.restore(step, experiment.abstract_state).params
    results = _results(experiment, params, task) | {"checkpoint_step": step}
    name = f"eval_{results['part']}_{report.task_name(results['way'], results['shot'])}.json"
    out = Path(out) if out else default and default / name
    if out:
        report.write_json(out, results)
    _print(console, results, out)
    return results


def _untrained(config: Config | None) -> Config:
    if config is None:
        raise ConfigError("give --checkpoint=FOLDER, or --config=FILE for an untrained head")
    if config.train.steps:
        raise CheckpointError(
            "--checkpoint is missing; to test an untrained head add --config.train.steps=0"
        )
    return config


def _adapted(config: Config, task: Task) -> Config:
    """The config with the folders that the task gives."""
    clip = replace(config.clip, path=task.clip) if task.clip else config.clip
    data = replace(config.data, root=task.data) if task.data else config.data
    return replace(config, clip=clip, data=data)


def _results(experiment: Experiment, params: Any, task: Task) -> dict[str, Any]:
    config = experiment.config

    def chosen(value, default):
        return default if value is None else value

    part, seed = chosen(task.part, config.eval.part), chosen(task.seed, config.seed)
    metrics = experiment.evaluate(
        params,
        part,
        way=chosen(task.way, config.eval.way),
        shot=chosen(task.shot, config.episode.shot),
        queries=chosen(task.queries, config.eval.queries),
        episodes=chosen(task.episodes, config.eval.episodes),
        seed=seed,
    )
    return {
        "part": part,
        **metrics,
        "seed": seed,
        "settings": to_dict(config),
        "versions": report.versions(),
        "hardware": report.hardware(),
    }


def _print(console: Console, results: dict[str, Any], out: Path | None) -> None:
    task = f"{results['way']}-way {results['shot']}-shot"
    console.print(tables.class_table(results))
    lines = [
        f"{task} accuracy on {results['part']} classes: {tables.with_interval(results)} "
        f"over {results['episodes']} episodes"
    ]
    if results["prompt_accuracy"] is not None:
        right, chance = tables.percent(results["prompt_accuracy"]), 1 / results["way"]
        lines.append(f"right prompt: {right} of the queries (chance {tables.percent(chance)})")
    if out:
        lines.append(f"results: {out}")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
