"""Random episodes, methods and train steps to measure with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.bench.flops import mdmf_episode_flops
from mdmf_jax.bench.timing import Program, compile_program
from mdmf_jax.model import FewShotModel
from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import ClassTexts, make_train_step

CLASSES = 31  # of HMDB51's training split
TEXTS = 3  # of a class, for methods that take several


@dataclass(frozen=True)
class Task:
    """Sizes of a batch of episodes; `queries` is per class."""

    episodes: int
    way: int
    shot: int
    queries: int
    frames: int

    @property
    def videos(self) -> int:
        """Support and query videos of one episode."""
        return self.way * (self.shot + self.queries)

    @property
    def settings(self) -> dict[str, int]:
        """The sizes by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def head_flops(model: FewShotModel, task: Task) -> int | None:
    """Operations of the head for one episode forward, where there is a formula."""
    options = model.settings.head
    if model.settings.method != "mdmf" or options.matcher != "otam":
        return None
    sizes = task.videos, task.frames, model.width
    return mdmf_episode_flops(*sizes, options.hidden, options.depth)


def random_batch(
    task: Task, name: str, make: Callable[..., np.ndarray], item: tuple[int, ...]
) -> dict[str, Any]:
    """A batch of episodes for the train step.

    Args:
      name: of the modality, or of the features.
      make: shape -> random values.
      item: shape of what there is of each frame: (D,) for features, (S, S, 3) for pixels.
    """
    rng = np.random.default_rng(0)
    e, w, k, q, t = task.episodes, task.way, task.shot, task.way * task.queries, task.frames
    classes = np.stack([rng.permutation(CLASSES)[:w] for _ in range(e)])
    return {
        "support": {name: make(e, w, k, t, *item)},
        "query": {name: make(e, q, t, *item)},
        "query_labels": np.tile(np.repeat(np.arange(w, dtype=np.int32), task.queries), (e, 1)),
        "class_ids": classes.astype(np.int32),
    }


def random_features(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def random_texts(model: FewShotModel, classes: int) -> np.ndarray:
    """Text features of classes [C, D]; [C, 3, D] for a method that takes several texts a class."""
    several = (TEXTS,) if model.method.several_texts else ()
    return random_features(classes, *several, model.width, seed=1)


class StepRunner:
    """A compiled train step that runs again and again, each time on the state it left behind.

    On one device, whatever there is.

    Args:
      freeze, micro_batch: as in `make_train_step`.
    """

    def __init__(self, model: FewShotModel, batch, *, freeze=(), micro_batch=0):
        mesh = device_mesh(1, devices=jax.devices()[:1])
        optimizer = make_optimizer(1e-5)
        make_state = StateMaker(model.init, model.start, optimizer, freeze=freeze, mesh=mesh)
        step = make_train_step(
            model,
            optimizer,
            freeze=freeze,
            mesh=mesh,
            shardings=make_state.shardings,
            micro_batch=micro_batch,
        )
        key = jax.random.key(0)
        self._state = make_state(key)
        texts = ClassTexts(jnp.asarray(random_texts(model, CLASSES)))
        self._rest = (jax.device_put(batch), texts, key)
        self.program: Program = compile_program(step, self._state, *self._rest)

    def __call__(self) -> Any:
        """One step; returns its metrics."""
        self._state, metrics = self.program.call(self._state, *self._rest)
        return metrics
