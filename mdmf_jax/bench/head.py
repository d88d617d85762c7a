"""Episodes a second through a method, from features of frames."""

import jax
import jax.numpy as jnp

from mdmf_jax.bench.episodes import (
    CLASSES,
    StepRunner,
    Task,
    default_method,
    head_flops,
    init_head,
    random_batch,
    random_features,
)
from mdmf_jax.bench.flops import TRAINING
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.timing import Program, compile_program, seconds_of, summarise
from mdmf_jax.models.methods.base import FewShotMethod


def _features(params, frames: jax.Array) -> jax.Array:
    """The encoder of frames that are features already."""
    return frames


def measure(
    method: str = "mdmf",
    *,
    shots: tuple[int, ...] = (1, 5),
    episodes: int = 16,
    way: int = 5,
    queries: int = 5,
    frames: int = 8,
    width: int = 512,
    micro_batch: int = 0,
    repeats: int = 5,
) -> list[Measurement]:
    """A method's forward pass without and its whole train step with dropout, for each shot.

    Methods without parameters have no train step.

    Args:
      queries: query videos of each class.
      width: size D of the features.
      micro_batch: episodes whose gradient is computed at once; 0 for all.

    Raises:
      ConfigError: no such method.
    """
    measured = []
    for shot in shots:
        task = Task(episodes, way, shot, queries, frames)
        measured += _measure(method, task, width, micro_batch, repeats)
    return measured


def _measure(
    name: str, task: Task, width: int, micro_batch: int, repeats: int
) -> list[Measurement]:
    method, batch = default_method(name, width), random_batch(task, random_features, (width,))
    flops = head_flops(name, method, task, width)
    forward, arguments = _forward(method, batch, width)
    runs = {"forward": (lambda: forward.call(*arguments), forward, 1)}
    if jax.tree.leaves(arguments[0]):
        encoder = {"none": jnp.zeros((1,))}  # the step is that of training with a frozen one
        step = StepRunner(
            *(_features, method, encoder, batch, width),
            freeze=("^encoder/",),
            micro_batch=micro_batch,
        )
        runs["train_step"] = (step, step.program, TRAINING)
    return [
        summarise(
            f"head/{name}/{task.shot}shot/{kind}",
            seconds_of(call, repeats),
            items=task.episodes,
            unit="episodes/s",
            settings={"method": name, "width": width, "micro_batch": micro_batch} | task.settings,
            flops=None if flops is None else passes * task.episodes * flops,
            peak_bytes=program.peak_bytes,
        )
        for kind, (call, program, passes) in runs.items()
    ]


def _forward(method: FewShotMethod, batch: dict, width: int) -> tuple[Program, tuple]:
    """Logits of all episodes [E, Q, W], as a program and its arguments."""
    table = random_features(CLASSES, width, seed=1)
    params = jax.jit(init_head(method, width, batch["query"].shape[2]))(jax.random.key(0))

    def logits(params, support, query, prompts, keys):
        def episode(support, query, prompts, key):
            output = method.apply({"params": params}, support, query, prompts, rngs={"prompt": key})
            return output.logits

        return jax.vmap(episode)(support, query, prompts, keys)

    keys = jax.random.split(jax.random.key(0), len(batch["class_ids"]))
    arrays = (batch["support"], batch["query"], table[batch["class_ids"]], keys)
    arguments = (params, *jax.device_put(arrays))
    return compile_program(logits, *arguments), arguments
