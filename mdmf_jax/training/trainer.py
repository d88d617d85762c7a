"""Trainer: a model, an optimizer and the devices, and what they make of a batch."""

import re
import zlib
from collections.abc import Mapping
from functools import cached_property

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from mdmf_jax.config.config import Config
from mdmf_jax.config.param_groups import param_groups
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.data.episodes.batches import Batches
from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel
from mdmf_jax.training import distributed
from mdmf_jax.training.optimizer import make_train_optimizer
from mdmf_jax.training.sharding import device_mesh, over_episodes
from mdmf_jax.training.state import StateMaker, TrainState
from mdmf_jax.training.steps import ClassTexts, TrainStep, make_train_step


class Trainer:
    """Makes states and steps as a config says.

    Attributes:
      mesh: of the devices that train.

    Raises:
      ConfigError: the settings do not fit the devices or the parameters.
    """

    def __init__(self, config: Config, model: FewShotModel):
        train = config.train
        self.config, self.model = config, model
        self.mesh = device_mesh(train.episodes_per_step, train.model_devices)
        self._optimizer = make_train_optimizer(train)
        self._make_state = StateMaker(
            model.init,
            model.start,
            self._optimizer,
            freeze=config.frozen,
            mesh=self.mesh,
            divide=train.shard_params,
        )
        self._check_trained()
        if train.cached_clips and not self.encoder_frozen:
            raise ConfigError(
                f"train.cached_clips is {train.cached_clips}, which needs a frozen encoder; "
                "set train.freeze to ('^encoder/',) or train.cached_clips to 0"
            )
        if train.cached_clips and model.encoder.unit != "video":
            raise ConfigError(
                f"train.cached_clips is {train.cached_clips}, but {config.encoder_name} encodes "
                "whole episodes; set train.cached_clips to 0"
            )

    def _check_trained(self) -> None:
        params, kept = self.abstract_state.params, trained(self.config)
        paths = flatten_dict(params["encoder"], sep="/")
        new = [path for path in paths if re.search(self.model.encoder.new_params, path)]
        if new and not any(kept(f"encoder/{path}") for path in new) and self.config.train.steps:
            raise ConfigError(
                f"train.freeze and train.trained leave {new[0]} and all other new parameters of "
                f"the encoder {self.config.encoder_name} untrained; free them "
                "(--config.train.freeze='()' --config.train.trained='()')"
            )
        paths = flatten_dict(params, sep="/")
        for group in param_groups(self.config.train.groups):
            if not any(re.search(group.pattern, path) and kept(path) for path in paths):
                raise ConfigError(
                    f"train.groups: {group.pattern!r} matches no parameter that is trained (the "
                    "paths begin with encoder/ or head/)"
                )
        for name in ("trained", "freeze"):
            for pattern in getattr(self.config.train, name):
                if not any(re.search(pattern, path) for path in paths):
                    raise ConfigError(
                        f"train.{name}: {pattern!r} matches no parameter (the paths begin with "
                        "encoder/ or head/)"
                    )

    @cached_property
    def encoder_frozen(self) -> bool:
        """Whether training leaves the whole encoder as it is."""
        paths = flatten_dict(self.abstract_state.params["encoder"], sep="/")
        return not any(trained(self.config)(f"encoder/{path}") for path in paths)

    def new_state(self) -> TrainState:
        """State at step 0, a pure function of the config."""
        return self._make_state(self._key("parameters"))

    @property
    def abstract_state(self) -> TrainState:
        """Shapes and shardings of the state."""
        return self._make_state.abstract

    def train_step(self, texts: ClassTexts) -> TrainStep:
        """The jitted step (state, batch) -> (state, metrics); see `make_train_step`.

        It takes the batches of `train_batches`.

        Args:
          texts: of all training classes, arrays on the host.
        """
        train = self.config.train
        step = make_train_step(
            self.model,
            self._optimizer,
            freeze=self.config.frozen,
            mesh=self.mesh,
            shardings=self._make_state.shardings,
            micro_batch=train.micro_batch,
            max_skipped=train.allowed_to_skip,
        )
        placed, key = jax.tree.map(jax.numpy.asarray, texts), self._key("training")
        names = ("support", "query", "query_labels", "class_ids")

        def take(state, batch):
            own = {name: batch[name] for name in names}
            spread = over_episodes(self.mesh)
            whole = distributed.global_arrays(spread, own, train.episodes_per_step)
            return step(state, whole, placed, key)

        return take

    def train_batches(
        self,
        dataset: Dataset,
        start: int,
        stop: int,
        features: Mapping[str, np.ndarray] | None = None,
    ) -> Batches:
        """Batches of the steps start+1..stop: of each, the episodes that this process takes.

        Args:
          features: of `train.cached_clips` clips of every video, name -> [V, clips, ...], to be
            taken in the place of videos.

        Raises:
          DataError: a video cannot be read.
        """
        rows = distributed.own_rows(self.mesh, self.config.train.episodes_per_step)
        return dataset.train_batches(start, stop, rows, features)

    def _key(self, purpose: str) -> jax.Array:
        root = jax.random.key(self.config.seed)
        return jax.random.fold_in(root, zlib.crc32(purpose.encode()))


def trained(config: Config):
    """Whether training changes the leaf at a path ("encoder/..."), as the settings say."""
    frozen = config.frozen
    return lambda path: not any(re.search(pattern, path) for pattern in frozen)
