"""Random episodes, methods and train steps to measure with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.bench.flops import mdmf_episode_flops
from mdmf_jax.bench.timing import Program, compile_program
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.training.optimizer import make_optimizer
from mdmf_jax.training.sharding import device_mesh
from mdmf_jax.training.state import StateMaker
from mdmf_jax.training.steps import make_train_step

CLASSES = 31  # of HMDB51's training part


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


def default_method(name: str, width: int) -> FewShotMethod:
    """A method with its default options, for features of size `width`.

    Raises:
      ConfigError: no such method.
    """
    return methods.build_method(name, methods.config_class(name)(), {}, width)


def init_head(method: FewShotMethod, width: int, frames: int) -> Callable[[jax.Array], Any]:
    """key -> parameters of a method, {} of one that has none."""

    def init(key: jax.Array) -> Any:
        support = jnp.zeros((2, 1, frames, width))
        made = method.init({"params": key}, support, support[:, 0], support[:, 0, 0])
        return made.get("params", {})

    return init


def head_flops(name: str, method: FewShotMethod, task: Task, width: int) -> int | None:
    """Operations of the head for one episode forward, where there is a formula."""
    options = method.config
    if name != "mdmf" or options.matcher != "otam":
        return None
    return mdmf_episode_flops(task.videos, task.frames, width, options.hidden, options.depth)


def random_batch(task: Task, make: Callable[..., np.ndarray], item: tuple[int, ...]) -> dict:
    """A batch of episodes for the train step.

    Args:
      make: shape -> random values.
      item: shape of what there is of each frame: (D,) for features, (S, S, 3) for pixels.
    """
    rng = np.random.default_rng(0)
    e, w, k, q, t = task.episodes, task.way, task.shot, task.way * task.queries, task.frames
    classes = np.stack([rng.permutation(CLASSES)[:w] for _ in range(e)])
    return {
        "support": make(e, w, k, t, *item),
        "query": make(e, q, t, *item),
        "query_labels": np.tile(np.repeat(np.arange(w, dtype=np.int32), task.queries), (e, 1)),
        "class_ids": classes.astype(np.int32),
    }


def random_features(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


class StepRunner:
    """A compiled train step that runs again and again, each time on the state it left behind.

    On one device, whatever there is.

    Args:
      freeze, micro_batch: as in `make_train_step`.
    """

    def __init__(self, encode, method, encoder_params, batch, width, *, freeze=(), micro_batch=0):
        mesh = device_mesh(1, devices=jax.devices()[:1])
        optimizer = make_optimizer(1e-5)
        frames = batch["query"].shape[2]

        def head(params, support, query, prompts, *, rngs=None, **options):
            return method.apply({"params": params}, support, query, prompts, rngs=rngs, **options)

        make_state = StateMaker(
            init_head(method, width, frames), encoder_params, optimizer, freeze=freeze, mesh=mesh
        )
        step = make_train_step(
            encode,
            head,
            optimizer,
            freeze=freeze,
            mesh=mesh,
            shardings=make_state.shardings,
            micro_batch=micro_batch,
        )
        key = jax.random.key(0)
        self._state = make_state(key)
        table = jnp.asarray(random_features(CLASSES, width, seed=1))
        self._rest = (jax.device_put(batch), table, key)
        self.program: Program = compile_program(step, self._state, *self._rest)

    def __call__(self) -> Any:
        """One step; returns its metrics."""
        self._state, metrics = self.program.call(self._state, *self._rest)
        return metrics
