"""What `python eval.py` does: test a checkpoint, or an untrained head, on many episodes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mdmf_jax.config.config import Config, from_stored, to_dict
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation import provenance as report, tables
from mdmf_jax.runs.experiment import Experiment
from mdmf_jax.training import distributed
from mdmf_jax.training.checkpoint import Checkpoints, FOLDER, locate


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

    def sizes(self, config: Config) -> dict[str, Any]:
        """part, way, shot, queries, episodes and seed, with the config's where None is given."""
        default = {
            "part": config.eval.split,
            "way": config.eval.way,
            "shot": config.episode.shot,
            "queries": config.eval.queries,
            "episodes": config.eval.episodes,
            "seed": config.seed,
        }
        given = {name: getattr(self, name) for name in default}
        return default | {name: value for name, value in given.items() if value is not None}


def evaluate(
    task: Task,
    *,
    checkpoint: str | Path | None = None,
    config: Config | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluates and prints accuracy by class; returns what the JSON file holds.

    An evaluation that was stopped goes on from the answers it left beside `out`.

    Args:
      checkpoint: a run's folder (its best checkpoint) or one checkpoint; None takes a random
        head, and writes a file only if `out` is given.
      config: without a checkpoint, the settings; with one they must agree with its own.
      out: file to write; by default eval_<part>_<way>way_<shot>shot.json in the run's folder.

    Raises:
      UserError: a setting, the data, the CLIP or the checkpoint is wrong; see errors.py.
    """
    first = distributed.is_first()  # The others work in silence.
    console = console or Console(quiet=not first)
    if checkpoint is None:
        config, step, default = _untrained(config), None, None
        experiment = Experiment(adapted(config, task))
        params = experiment.new_state().params
    else:
        experiment, params, step, default = load_checkpoint(checkpoint, task, config)
    sizes = task.sizes(experiment.config)
    name = f"eval_{sizes['part']}_{report.task_name(sizes['way'], sizes['shot'])}.json"
    out = Path(out) if out else default and default / name
    partial = out.with_name(f"{out.name}.partial") if out and first else None
    results = _results(experiment, params, sizes, partial) | {"checkpoint_step": step}
    if partial:
        report.write_json(out, results)
        partial.unlink(missing_ok=True)
    _print(console, results, out)
    return results


def adapted(config: Config, task: Task) -> Config:
    """The config with the folders that the task gives."""
    encoder = replace(config.encoder, path=task.clip) if task.clip else config.encoder
    data = replace(config.data, root=task.data) if task.data else config.data
    return replace(config, encoder=encoder, data=data)


def load_checkpoint(
    checkpoint: str | Path, task: Task, config: Config | None = None
) -> tuple[Experiment, Any, int, Path]:
    """The experiment, the parameters, the step and the run's folder of a checkpoint.

    Args:
      checkpoint: a run's folder (its best checkpoint) or one checkpoint.
      task: its folders of the CLIP and of the videos count.
      config: settings that must agree with the checkpoint's own; None takes those.

    Raises:
      UserError: the checkpoint, the data or the CLIP is missing, damaged or does not fit.
    """
    folder, step = locate(checkpoint)
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.best() if step is None else step
        if config is not None:
            checkpoints.check(step, to_dict(config))
        config = config or from_stored(checkpoints.settings(step))
        experiment = Experiment(adapted(config, task))
        params = checkpoints.restore(step, experiment.abstract_state).params
    return experiment, params, step, folder.parent if folder.name == FOLDER else folder


def _untrained(config: Config | None) -> Config:
    if config is None:
        raise ConfigError("give --checkpoint=FOLDER, or --config=FILE for an untrained head")
    if config.train.steps:
        raise CheckpointError(
            "--checkpoint is missing; to test an untrained head add --config.train.steps=0"
        )
    return config


def _results(
    experiment: Experiment, params: Any, sizes: dict[str, Any], partial: Path | None
) -> dict[str, Any]:
    return {
        "part": sizes["part"],
        **experiment.evaluate(params, **sizes, partial=partial),
        "seed": sizes["seed"],
        "settings": to_dict(experiment.config),
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
