"""A model with its data set, ready to answer episodes."""

from dataclasses import dataclass, replace

import jax

from mdmf_jax import files
from mdmf_jax.config.config import Config
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.evaluation.evaluator import Evaluator
from mdmf_jax.evaluation.task import Task, adapted
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.training.build import make_dataset, make_model
from mdmf_jax.training.restore import find, read_params
from mdmf_jax.training.trainer import Trainer


@dataclass(frozen=True)
class Opened:
    """What it takes to answer episodes.

    Attributes:
      params: parameters to answer with.
      step: of the checkpoint that they come from; None without one.
      folder: of the run; None without a checkpoint.
    """

    config: Config
    model: FewShotModel
    dataset: Dataset
    evaluator: Evaluator
    params: Params
    step: int | None = None
    folder: files.AnyPath | None = None


def open_untrained(config: Config) -> Opened:
    """A model as it begins: pretrained encoder, random head.

    Raises:
      UserError: a setting, the data or the encoder's files are wrong.
    """
    dataset = make_dataset(config)
    model = make_model(config, len(dataset.splits["train"].names))
    trainer = Trainer(config, model)
    evaluator = Evaluator(config, model, dataset)
    return Opened(config, model, dataset, evaluator, jax.device_get(trainer.new_state().params))


def open_checkpoint(path: files.Name, task: Task, config: Config | None = None) -> Opened:
    """A trained model.

    Args:
      path: a run's folder (its best checkpoint) or one checkpoint.
      task: its places of the encoder and of the videos count.
      config: settings that must agree with the checkpoint's own; None takes those.

    Raises:
      UserError: the checkpoint, the data or the encoder's files are missing, damaged or do not
        fit each other.
    """
    found = find(path, config=config)
    found = replace(found, config=adapted(found.config, task))
    dataset = make_dataset(found.config)
    model = make_model(found.config, found.train_classes)
    params = read_params(found, model.shapes)
    evaluator = Evaluator(found.config, model, dataset)
    return Opened(found.config, model, dataset, evaluator, params, found.step, found.run)
