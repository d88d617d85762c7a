"""What `python train.py` does: train, choose the best checkpoint, test it, write the results."""

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.errors import CheckpointError
from mdmf_jax.evaluation import provenance as report, tables
from mdmf_jax.runs.experiment import Experiment
from mdmf_jax.training import distributed
from mdmf_jax.training.checkpoint import Checkpoints, FOLDER
from mdmf_jax.training.lock import FolderLock
from mdmf_jax.training.loop import train_loop
from mdmf_jax.training.progress import TrainProgress
from mdmf_jax.training.scalars import ScalarWriter
from mdmf_jax.training.state import TrainState
from mdmf_jax.training.stopping import StopSignal

RESULTS = "results.json"


def train_and_evaluate(
    config: Config, workdir: str | Path, console: Console | None = None
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Trains in `workdir`, or goes on where an earlier run stopped, and tests the result.

    Writes workdir/checkpoints, workdir/tensorboard and workdir/results.json.

    Returns:
      The content of results.json, and the metrics of every step done in this call.

    Raises:
      UserError: a setting, the data, the CLIP or the checkpoint is wrong; see errors.py.
    """
    first = distributed.is_first()  # The others work in silence.
    workdir, console = Path(workdir), console or Console(quiet=not first)
    clock = {"begin": time.monotonic()}
    experiment = Experiment(config)
    _check_episodes(experiment)
    clock["prepare"] = time.monotonic()
    params, validation, history = train(experiment, workdir, console)
    clock["train"] = time.monotonic()
    test = evaluate_shots(experiment, params)
    results = {"test": test}
    if config.eval.untrained:
        results["untrained"] = evaluate_shots(experiment, experiment.new_state().params)
    clock["evaluate"] = time.monotonic()
    results |= {
        "prompt_accuracy": next(iter(test.values()))["prompt_accuracy"],
        "validation": validation,
        "settings": to_dict(config),
        "seed": config.seed,
        "versions": report.versions(),
        "hardware": report.hardware(),
        "seconds": _seconds(clock),
    }
    if first:
        report.write_json(workdir / RESULTS, results)
    _print(console, results, workdir)
    return results, history


def train(
    experiment: Experiment, workdir: Path, console: Console
) -> tuple[Mapping[str, Any], dict[str, Any] | None, list[dict[str, float]]]:
    """Trains in `workdir`, or goes on there, and selects a checkpoint.

    Returns:
      The selected parameters, their validation metrics (None without training), and the
      metrics of every step done in this call.

    Raises:
      CheckpointError: the checkpoints in `workdir` are damaged or of other settings.
    """
    keep = experiment.config.checkpoint.keep
    lock = FolderLock(workdir) if distributed.is_first() else nullcontext()
    with lock, Checkpoints(workdir / FOLDER, keep) as checkpoints:
        state, history = _train(experiment, workdir, checkpoints, console)
        return *_selected(experiment, checkpoints, state), history


def evaluate_shots(experiment: Experiment, params: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics by task ("5way_1shot") for each of the config's eval.shots."""
    settings, seed = experiment.config.eval, experiment.config.seed
    return {
        report.task_name(settings.way, shot): experiment.evaluate(
            params,
            settings.split,
            way=settings.way,
            shot=shot,
            queries=settings.queries,
            episodes=settings.episodes,
            seed=seed,
        )
        for shot in settings.shots
    }


def _check_episodes(experiment: Experiment) -> None:
    """All episodes of the run can be drawn; better to say so before the training."""
    episode, settings = experiment.config.episode, experiment.config.eval
    check = experiment.dataset.check
    check("train", episode.way, episode.shot, episode.queries)
    check("val", settings.way, episode.shot, settings.queries)
    for shot in settings.shots:
        check(settings.split, settings.way, shot, settings.queries)


def _train(
    experiment: Experiment, workdir: Path, checkpoints: Checkpoints, console: Console
) -> tuple[TrainState, list[dict[str, float]]]:
    config = experiment.config
    plan, settings = config.train, to_dict(config)
    start, state = resume(experiment, checkpoints, console)
    if start == plan.steps:
        return state, []
    progress = TrainProgress(console, start, plan.steps, plan.episodes_per_step)
    batches = experiment.train_batches(state.params["encoder"], start, plan.steps)
    folder = workdir / "tensorboard" if distributed.is_first() else None
    with closing(ScalarWriter(folder)) as scalars, closing(batches), progress, StopSignal() as stop:
        return train_loop(
            state,
            experiment.train_step(),
            batches,
            start=start,
            steps=plan.steps,
            log_every=plan.log_every,
            validate_every=plan.validate_every,
            episodes_per_step=plan.episodes_per_step,
            max_skipped=plan.allowed_to_skip,
            stop=stop,
            validate=lambda params: _validate(experiment, params),
            save=lambda step, state, metrics: checkpoints.save(step, state, settings, metrics),
            scalars=scalars,
            progress=progress,
        )


def resume(
    experiment: Experiment, checkpoints: Checkpoints, console: Console
) -> tuple[int, TrainState]:
    """The newest checkpoint's step and state, or 0 and a new state.

    Raises:
      CheckpointError: it was made with other settings, is damaged, or has more steps than the
        config asks for.
    """
    step, steps = _newest(experiment, checkpoints, console), experiment.config.train.steps
    if step is None:
        return 0, experiment.new_state()
    if step > steps:
        raise CheckpointError(
            f"{checkpoints.folder} holds step {step}, but train.steps is {steps}; take more "
            "steps or another folder"
        )
    console.print(f"continuing after step {step} of {checkpoints.folder}", soft_wrap=True)
    checkpoints.check(step, to_dict(experiment.config))
    return step, checkpoints.restore(step, experiment.abstract_state)


def _newest(experiment: Experiment, checkpoints: Checkpoints, console: Console) -> int | None:
    """Step to go on from; damaged checkpoints are set aside if the config says so."""
    fallback = experiment.config.checkpoint.on_corrupt == "fallback"
    for step in reversed(checkpoints.steps()):
        try:
            checkpoints.verify(step)
        except CheckpointError as error:
            if not fallback:
                raise
            aside = checkpoints.set_aside(step)
            console.print(
                f"WARNING: {error}. It is now {aside}; going on from the checkpoint before it.",
                style="bold red",
                highlight=False,
                soft_wrap=True,
            )
    return checkpoints.latest()


def _validate(experiment: Experiment, params: Mapping[str, Any]) -> dict[str, float]:
    config = experiment.config
    metrics = experiment.evaluate(
        params,
        "val",
        way=config.eval.way,
        shot=config.episode.shot,
        queries=config.eval.queries,
        episodes=config.train.validate_episodes,
        seed=config.seed,
    )
    names = ("accuracy", "interval95", "prompt_accuracy")
    found = {name: metrics[name] for name in names if metrics[name] is not None}
    return distributed.of_first(found)


def _selected(
    experiment: Experiment, checkpoints: Checkpoints, state: TrainState
) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """Parameters to test, and the validation metrics of their checkpoint (None at step 0)."""
    last = int(state.step)
    if last == 0:
        return state.params, None
    step = checkpoints.best() if experiment.config.train.select == "best" else last
    if step != last:
        state = checkpoints.restore(step, experiment.abstract_state)
    return state.params, {"step": step} | checkpoints.metrics(step)


def _seconds(clock: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage, from the times at their ends."""
    names, times = list(clock), list(clock.values())
    stages = {names[i]: round(times[i] - times[i - 1], 2) for i in range(1, len(names))}
    return stages | {"total": round(times[-1] - times[0], 2)}


def _print(console: Console, results: Mapping[str, Any], workdir: Path) -> None:
    console.print(tables.results_table(results))
    seconds = results["seconds"]
    console.print(
        f"{seconds['total']:.0f} s in all (preparing {seconds['prepare']:.0f} s, training "
        f"{seconds['train']:.0f} s, evaluating {seconds['evaluate']:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"results: {workdir / RESULTS}", highlight=False, soft_wrap=True)
