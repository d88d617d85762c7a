"""Episodes a second through a method, from features of frames."""

import jax

from mdmf_jax.bench.episodes import (
    CLASSES,
    StepRunner,
    Task,
    head_flops,
    random_batch,
    random_features,
    random_texts,
)
from mdmf_jax.bench.flops import TRAINING
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.models import head_model
from mdmf_jax.bench.timing import Program, compile_program, seconds_of, summarise
from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel


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
      ConfigError: no such method, or one that reads other features than CLIP's of frames.
    """
    measured = []
    for shot in shots:
        task = Task(episodes, way, shot, queries, frames)
        measured += _measure(method, task, width, micro_batch, repeats)
    return measured


def _measure(
    name: str, task: Task, width: int, micro_batch: int, repeats: int
) -> list[Measurement]:
    model = head_model(name, width, task.frames, CLASSES)
    if set(model.feature_shapes) != {"frames"}:
        raise ConfigError(f"{name} reads features of its own encoder; measure `eval` or `train`")
    batch = random_batch(task, "frames", random_features, (width,))
    flops = head_flops(model, task)
    forward, arguments = _forward(model, batch)
    runs = {"forward": (lambda: forward.call(*arguments), forward, 1)}
    if jax.tree.leaves(arguments[0]["head"]):
        # The step is that of training with a frozen encoder.
        step = StepRunner(model, batch, freeze=("^encoder/",), micro_batch=micro_batch)
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


def _forward(model: FewShotModel, batch: dict) -> tuple[Program, tuple]:
    """Logits of all episodes [E, Q, W], as a program and its arguments."""
    table = random_texts(model, CLASSES)
    params = {"head": jax.jit(model.init_head)(jax.random.key(0))}

    def logits(params, support, query, texts, keys):
        def episode(support, query, texts, key):
            one = {"support": support, "query": query}
            return model.episode(params, one, texts, rngs={"prompt": key}).logits

        return jax.vmap(episode)(support, query, texts, keys)

    keys = jax.random.split(jax.random.key(0), len(batch["class_ids"]))
    arrays = (batch["support"], batch["query"], table[batch["class_ids"]], keys)
    arguments = (params, *jax.device_put(arrays))
    return compile_program(logits, *arguments), arguments
