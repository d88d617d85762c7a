"""The functions of the public interface: load, train, evaluate."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from rich.console import Console

from mdmf_jax import files
from mdmf_jax.classifier import bundle
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import Config, from_config_dict
from mdmf_jax.config.load import load_config
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs import evaluate as evaluation
from mdmf_jax.runs import train as training

# "demo:shot=5,train.steps=20", the path of a config file, a ConfigDict or a plain nested dict.
Settings: TypeAlias = str | Mapping[str, Any] | Config


def load(path: files.Name) -> FewShotClassifier:
    """A classifier from a folder.

    Args:
      path: a folder that `FewShotClassifier.save` or the command fit wrote gives a classifier
        with its classes, ready to predict. A run's folder, one of its checkpoints, or a CLIP
        by name, folder or file gives one without classes, ready to be fitted, as
        `FewShotClassifier.from_pretrained` does.

    Raises:
      UserError: files are missing, damaged or do not fit each other.
    """
    if (files.path(path) / bundle.NAME).is_file():
        return FewShotClassifier.load(path)
    return FewShotClassifier.from_pretrained(path)


def train(config: Settings, workdir: files.Name, *, quiet: bool = False) -> dict[str, Any]:
    """Trains in a folder, or goes on where a run stopped there, and tests the result.

    Args:
      config: as `mdmf train --config` takes it ("demo:shot=5,train.steps=20"), or settings.
      workdir: folder for checkpoints, logs and results.json.
      quiet: print nothing.

    Returns:
      What results.json holds: test accuracies by task, settings, versions, times.

    Raises:
      UserError: a setting, the data, the encoder's files or a checkpoint is wrong.
      Stopped: SIGTERM came; the state is saved, and the same call goes on.
    """
    console = Console(quiet=True) if quiet else None
    return training.train_and_evaluate(_config(config), workdir, console)[0]


def evaluate(
    checkpoint: files.Name | None = None,
    *,
    config: Settings | None = None,
    out: files.Name | None = None,
    quiet: bool = False,
    **task: Any,
) -> dict[str, Any]:
    """Tests a checkpoint on many episodes, or with train.steps=0 an untrained head.

    Args:
      checkpoint: a run's folder (its best checkpoint) or one checkpoint.
      config: without a checkpoint, the settings; with one they must agree with its own.
      out: JSON file to write; by default eval_SPLIT_WAYway_SHOTshot.json in the run's folder.
      quiet: print nothing.
      **task: split, way, shot, queries, episodes and seed, by default as in the settings;
        encoder and data, folders that have moved.

    Returns:
      Accuracy with its interval, by class and over all, and what it took.

    Raises:
      UserError: a setting, the data, the encoder's files or the checkpoint is wrong.
    """
    settings = None if config is None else _config(config)
    console = Console(quiet=True) if quiet else None
    return evaluation.evaluate(
        Task(**task), checkpoint=checkpoint, config=settings, out=out, console=console
    )


def _config(given: Settings) -> Config:
    if isinstance(given, Config):
        return given
    return load_config(given) if isinstance(given, str) else from_config_dict(given)
