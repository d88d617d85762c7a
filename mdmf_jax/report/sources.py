"""What a report is made of: a run's folder, the JSON file of an evaluation, or a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdmf_jax import files
from mdmf_jax.config.config import from_stored
from mdmf_jax.errors import CheckpointError, ConfigError, DataError
from mdmf_jax.evaluation.opened import Opened, open_checkpoint, open_untrained
from mdmf_jax.evaluation.provenance import RESULTS, task_name, with_split
from mdmf_jax.evaluation.task import Task, adapted
from mdmf_jax.report.events import Curve, read_curves
from mdmf_jax.training.checkpoint import FOLDER

_METRICS = {"accuracy", "interval95", "per_class", "episodes", "way", "shot", "queries"}
_FACTS = {"settings", "seed", "versions", "hardware"}


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that was made earlier.

    Attributes:
      tasks: metrics by task ("5way_1shot"); see `episode_metrics`.
      untrained: the same of a random head; {} if that was not tested.
      split: "train", "val" or "test".
      facts: settings, seed, versions, hardware, and perhaps validation, seconds.
      checkpoint: to answer episodes with; None stands for the parameters before training.
      curves: of the training, by name; {} without one.
    """

    tasks: Mapping[str, Any]
    untrained: Mapping[str, Any]
    split: str
    facts: Mapping[str, Any]
    checkpoint: files.AnyPath | None
    curves: Mapping[str, Curve]


def read_source(path: files.Name, checkpoint: files.Name | None = None) -> Evaluation | dict:
    """An evaluation, or the content of a compare.json.

    Args:
      path: a run's folder, a file that `mdmf eval` wrote, or a compare.json.
      checkpoint: the run or checkpoint of an evaluation that lies elsewhere.

    Raises:
      UserError: the path is none of these, or the checkpoint is missing.
    """
    path = files.path(path)
    if path.is_dir():
        return _of_run(path, files.path(checkpoint) if checkpoint else path)
    content = files.read_json(path, DataError)
    if isinstance(content, dict) and "entries" in content:
        from mdmf_jax.comparison.files import read_comparison

        return read_comparison(path)
    content = with_split(content) if isinstance(content, dict) else {}
    if not (_METRICS | _FACTS | {"split"}) <= content.keys():
        raise DataError(
            f"{path}: is not an evaluation; give a run's folder, an eval_*.json or a compare.json"
        )
    return _of_file(path, content, checkpoint)


def load(evaluation: Evaluation, task: Task) -> Opened:
    """The model and the data of an evaluation, ready to answer.

    Raises:
      UserError: the checkpoint, the data or the CLIP is missing, damaged or does not fit.
    """
    if evaluation.checkpoint is not None:
        if not evaluation.checkpoint.is_dir():
            raise CheckpointError(
                f"{evaluation.checkpoint}: there is not a checkpoint to answer episodes; give "
                "--checkpoint=RUN, or --numbers-only for a report without examples"
            )
        return open_checkpoint(evaluation.checkpoint, task)
    return open_untrained(adapted(from_stored(evaluation.facts["settings"]), task))


def task_sizes(evaluation: Evaluation, task: Task, episodes: int) -> dict[str, Any]:
    """split, way, shot, queries, episodes and seed of the episodes to look into.

    What the task leaves open is as in the first task that was evaluated.
    """
    first = next(iter(evaluation.tasks.values()))
    known = {name: first[name] for name in ("way", "shot", "queries")}
    known |= {"split": evaluation.split, "seed": evaluation.facts["seed"], "episodes": episodes}
    given = {name: getattr(task, name) for name in known}
    return known | {name: value for name, value in given.items() if value is not None}


def _of_run(folder: files.AnyPath, checkpoint: files.AnyPath) -> Evaluation:
    if not (folder / RESULTS).is_file():
        raise DataError(f"{folder}: holds no {RESULTS}; mdmf train writes it at the end of a run")
    content = files.read_json(folder / RESULTS, DataError)
    if not isinstance(content, dict) or not (_FACTS | {"test"}) <= content.keys():
        raise DataError(f"{folder / RESULTS}: is not as mdmf train writes it; finish the run again")
    step = (content.get("validation") or {}).get("step")
    exact = folder / FOLDER / str(step)
    if checkpoint == folder and exact.is_dir():
        checkpoint = exact
    split = with_split(content["settings"]["eval"])["split"]
    facts = {name: content[name] for name in (*_FACTS, "validation", "seconds") if name in content}
    trained = None if step is None else checkpoint
    curves = read_curves(folder)
    return Evaluation(content["test"], content.get("untrained", {}), split, facts, trained, curves)


def _of_file(
    path: files.AnyPath, content: dict[str, Any], checkpoint: files.Name | None
) -> Evaluation:
    step, run = content.get("checkpoint_step"), path.parent
    found = files.path(checkpoint) if checkpoint else None
    if found is None and step is not None:
        found = run / FOLDER / str(step)
    metrics = {k: content[k] for k in (*sorted(_METRICS), "prompt_accuracy") if k in content}
    tasks = {task_name(content["way"], content["shot"]): metrics}
    facts = {name: content[name] for name in _FACTS}
    curves = read_curves(run) if step is not None else {}
    return Evaluation(tasks, {}, content["split"], facts, found, curves)


def entry_evaluation(
    results: Mapping[str, Any], name: str | None, checkpoint: files.Name | None = None
) -> Evaluation:
    """The evaluation of one entry of a comparison, the first if no name is given.

    Args:
      checkpoint: the entry's run or checkpoint, if it has moved.

    Raises:
      ConfigError: there is no such entry.
    """
    entries = {entry["name"]: entry for entry in results["entries"]}
    entry = entries.get(name) if name else results["entries"][0]
    if entry is None:
        raise ConfigError(f"--entry is {name!r}; the comparison has {', '.join(entries)}")
    place = checkpoint or entry.get("checkpoint") or entry.get("folder")
    task = results["task"]
    metrics = {k: entry[k] for k in ("accuracy", "interval95", "per_class", "prompt_accuracy")}
    metrics |= {k: task[k] for k in ("way", "shot", "queries", "episodes")}
    facts = {k: results[k] for k in ("versions", "hardware")}
    facts |= {"settings": entry["settings"], "seed": task["seed"]}
    tasks = {task_name(task["way"], task["shot"]): metrics}
    folder = files.path(place) if place else None
    curves = read_curves(folder) if folder else {}
    return Evaluation(tasks, {}, task["split"], facts, folder, curves)
