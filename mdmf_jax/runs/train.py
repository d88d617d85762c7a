"""What `mdmf train` does: train, choose the best checkpoint, test it, write the results."""

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from mdmf_jax import files
from mdmf_jax.classifier.packaged import demo_warning
from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.data.episodes.batches import Batches
from mdmf_jax.errors import CheckpointError
from mdmf_jax.evaluation import provenance, tables
from mdmf_jax.evaluation.evaluator import Evaluator
from mdmf_jax.evaluation.provenance import RESULTS
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.training import distributed
from mdmf_jax.training.build import make_dataset, make_model, pinned_config
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.lock import folder_lock
from mdmf_jax.training.loop import train_loop
from mdmf_jax.training.profile import step_profile
from mdmf_jax.training.progress import TrainProgress
from mdmf_jax.training.restore import run_settings
from mdmf_jax.training.scalars import ScalarWriter
from mdmf_jax.training.state import TrainState
from mdmf_jax.training.steps import TrainStep
from mdmf_jax.training.stopping import StopSignal
from mdmf_jax.training.trainer import Trainer, trained


@dataclass(frozen=True)
class TrainRun:
    """The parts of a run, as its config describes them."""

    config: Config
    dataset: Dataset
    model: FewShotModel
    trainer: Trainer
    evaluator: Evaluator

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What its checkpoints keep of the settings."""
        return run_settings(self.config, self.model.settings.train_classes)

    def train_step(self, params: Params) -> TrainStep:
        """The compiled step; `params` give the class texts that training leaves as they are."""
        texts = self.evaluator.texts.for_training(params, trained(self.config))
        return self.trainer.train_step(texts)

    def train_batches(self, params: Params, start: int, stop: int) -> Batches:
        """Batches of the steps start+1..stop; see `Trainer.train_batches`.

        Raises:
          DataError: a video cannot be read.
        """
        clips = self.config.train.cached_clips
        features = self.evaluator.train_features(params, clips) if clips else None
        return self.trainer.train_batches(self.dataset, start, stop, features)


def make_run(config: Config) -> TrainRun:
    """Reads the encoder, finds the videos and lays out the training.

    Raises:
      UserError: the encoder or the videos are missing, or do not fit each other or the config.
    """
    dataset = make_dataset(config)
    model = make_model(config, len(dataset.splits["train"].names))
    trainer = Trainer(config, model)
    evaluator = Evaluator(config, model, dataset, trainer.mesh)
    return TrainRun(config, dataset, model, trainer, evaluator)


def train_and_evaluate(
    config: Config, workdir: files.Name, console: Console | None = None
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Trains in `workdir`, or goes on where an earlier run stopped, and tests the result.

    Writes workdir/checkpoints, workdir/metrics.jsonl, workdir/tensorboard and
    workdir/results.json, and workdir/profile if the config asks for one.

    Returns:
      The content of results.json, and the metrics of every step done in this call.

    Raises:
      UserError: a setting, the data, the CLIP or the checkpoint is wrong; see errors.py.
    """
    first = distributed.is_first()  # The others work in silence.
    workdir, console = files.path(workdir), console or Console(quiet=not first)
    clock = {"begin": time.monotonic()}
    config = pinned_config(config)
    run = make_run(config)
    _check_episodes(run)
    if warning := demo_warning(config.encoder, _foreign_videos(run)):
        console.print(f"warning: {warning}", highlight=False, soft_wrap=True)
    clock["prepare"] = time.monotonic()
    params, validation, history = train(run, workdir, console)
    clock["train"] = time.monotonic()
    test = evaluate_shots(run, params)
    results = {"test": test}
    if config.eval.untrained:
        results["untrained"] = evaluate_shots(run, run.trainer.new_state().params)
    clock["evaluate"] = time.monotonic()
    results |= {
        "prompt_accuracy": next(iter(test.values()))["prompt_accuracy"],
        "validation": validation,
        "settings": to_dict(config),
        "seed": config.seed,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "seconds": _seconds(clock),
    }
    if first:
        files.write_json(workdir / RESULTS, results)
    _print(console, results, workdir)
    return results, history


def _foreign_videos(run: TrainRun) -> list[files.AnyPath]:
    """Two videos of each split, unless they are generated for the demo."""
    data, splits = run.config.data, run.dataset.splits.values()
    if data.dataset == "demo":
        return []
    return [files.path(data.root) / path for split in splits for path in split.paths[:2]]


def train(
    run: TrainRun, workdir: files.AnyPath, console: Console
) -> tuple[Params, dict[str, Any] | None, list[dict[str, float]]]:
    """Trains in `workdir`, or goes on there, and selects a checkpoint.

    Returns:
      The selected parameters, their validation metrics (None without training), and the
      metrics of every step done in this call.

    Raises:
      CheckpointError: the checkpoints in `workdir` are damaged or of other settings.
    """
    keep = run.config.checkpoint.keep
    lock = folder_lock(workdir) if distributed.is_first() else nullcontext()
    with lock, Checkpoints(workdir / FOLDER, keep) as checkpoints:
        state, history = _train(run, workdir, checkpoints, console)
        return *_selected(run, checkpoints, state), history


def evaluate_shots(run: TrainRun, params: Params) -> dict[str, Any]:
    """Metrics by task ("5way_1shot") for each of the config's eval.shots."""
    settings, seed = run.config.eval, run.config.seed
    return {
        provenance.task_name(settings.way, shot): run.evaluator.evaluate(
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


def _check_episodes(run: TrainRun) -> None:
    """All episodes of the run can be drawn; better to say so before the training."""
    episode, settings = run.config.episode, run.config.eval
    check = run.dataset.check
    check("train", episode.way, episode.shot, episode.queries)
    check("val", settings.way, episode.shot, settings.queries)
    for shot in settings.shots:
        check(settings.split, settings.way, shot, settings.queries)


def _train(
    run: TrainRun, workdir: files.AnyPath, checkpoints: Checkpoints, console: Console
) -> tuple[TrainState, list[dict[str, float]]]:
    plan, settings = run.config.train, run.settings
    start, state = resume(run, checkpoints, console)
    if start == plan.steps:
        return state, []
    chance = {"training": 1 / run.config.episode.way, "validation": 1 / run.config.eval.way}
    progress = TrainProgress(console, start, plan.steps, plan.episodes_per_step, chance)
    batches = run.train_batches(state.params, start, plan.steps)
    folder = workdir if distributed.is_first() else None
    profile = step_profile(plan, folder)
    with (
        closing(ScalarWriter(folder, start)) as scalars,
        closing(batches),
        progress,
        profile,
        StopSignal() as stop,
    ):
        return train_loop(
            state,
            run.train_step(state.params),
            batches,
            start=start,
            steps=plan.steps,
            log_every=plan.log_every,
            validate_every=plan.validate_every,
            episodes_per_step=plan.episodes_per_step,
            max_skipped=plan.allowed_to_skip,
            stop=stop,
            validate=lambda params: _validate(run, params),
            save=lambda step, state, metrics: checkpoints.save(step, state, settings, metrics),
            scalars=scalars,
            progress=progress,
            profile=profile,
        )


def resume(run: TrainRun, checkpoints: Checkpoints, console: Console) -> tuple[int, TrainState]:
    """The newest checkpoint's step and state, or 0 and a new state.

    Raises:
      CheckpointError: it was made with other settings, is damaged, or has more steps than the
        config asks for.
    """
    step, steps = _newest(run.config, checkpoints, console), run.config.train.steps
    if step is None:
        return 0, run.trainer.new_state()
    if step > steps:
        raise CheckpointError(
            f"{checkpoints.folder} holds step {step}, but train.steps is {steps}; take more "
            "steps or another folder"
        )
    console.print(f"continuing after step {step} of {checkpoints.folder}", soft_wrap=True)
    checkpoints.check(step, to_dict(run.config))
    return step, checkpoints.restore(step, run.trainer.abstract_state)


def _newest(config: Config, checkpoints: Checkpoints, console: Console) -> int | None:
    """Step to go on from; damaged checkpoints are set aside if the config says so."""
    fallback = config.checkpoint.on_corrupt == "fallback"
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


def _validate(run: TrainRun, params: Params) -> dict[str, float]:
    config = run.config
    metrics = run.evaluator.evaluate(
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
    run: TrainRun, checkpoints: Checkpoints, state: TrainState
) -> tuple[Params, dict[str, Any] | None]:
    """Parameters to test, and the validation metrics of their checkpoint (None at step 0)."""
    last = int(state.step)
    if last == 0:
        return state.tested, None
    best = checkpoints.best() if run.config.train.select == "best" else None
    step = last if best is None else best
    if step != last:
        state = checkpoints.restore(step, run.trainer.abstract_state)
    return state.tested, {"step": step} | checkpoints.metrics(step)


def _seconds(clock: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage, from the times at their ends."""
    names, times = list(clock), list(clock.values())
    stages = {names[i]: round(times[i] - times[i - 1], 2) for i in range(1, len(names))}
    return stages | {"total": round(times[-1] - times[0], 2)}


def _print(console: Console, results: Mapping[str, Any], workdir: files.AnyPath) -> None:
    console.print(tables.results_table(results))
    seconds = results["seconds"]
    console.print(
        f"{seconds['total']:.0f} s in all (preparing {seconds['prepare']:.0f} s, training "
        f"{seconds['train']:.0f} s, evaluating {seconds['evaluate']:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"results: {workdir / RESULTS}", highlight=False, soft_wrap=True)
