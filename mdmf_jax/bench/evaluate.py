"""Test episodes a second from the features of a test set of HMDB51's size."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax.bench.episodes import random_features, random_texts
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.models import head_model
from mdmf_jax.bench.timing import summarise
from mdmf_jax.data.episodes.drawing import sample_episode_table
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.evaluation.episodes import EpisodeEvaluator
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.training.sharding import device_mesh

# Videos of each test class of HMDB51 in the split of ARN (Zhang et al., ECCV 2020).
HMDB51_TEST = {
    "fencing": 116,
    "kick": 130,
    "kick_ball": 128,
    "pick": 106,
    "pour": 106,
    "pushup": 103,
    "run": 232,
    "sit": 142,
    "smoke": 109,
    "talk": 120,
}
CHUNK = 50  # episodes computed at once, the default of eval.chunk


def hmdb51_split() -> Split:
    """The test split's classes and numbers of videos; there are no files behind it."""
    videos = tuple(tuple(f"{c}/{i:03d}.avi" for i in range(n)) for c, n in HMDB51_TEST.items())
    names = tuple(HMDB51_TEST)
    return Split("test", names, names, videos)


def measure(
    method: str = "mdmf",
    *,
    shots: tuple[int, ...] = (1, 5),
    episodes: int = 10_000,
    way: int = 5,
    queries: int = 1,
    frames: int = 8,
    width: int = 512,
    split: Split | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Measurement]:
    """All of an evaluation but encoding: drawing episodes, the head, matching, the metrics.

    Each task is evaluated twice with the same evaluator, on different episodes. The first call
    compiles, as in a run of `mdmf eval`; the second does not.

    Args:
      queries: query videos of each class.
      split: classes and videos, by default those of HMDB51's test split.

    Raises:
      ConfigError: no such method.
    """
    split = split or hmdb51_split()
    model = head_model(method, width, frames, 1)
    params = jax.jit(model.init_head)(jax.random.key(0))
    features = {
        name: random_features(split.num_videos, *x.shape)
        for name, x in sorted(model.feature_shapes.items())
    }
    texts = random_texts(model, len(split.folders))
    evaluator = EpisodeEvaluator(model, device_mesh(1, devices=jax.devices()[:1]), CHUNK)
    measured = []
    for shot in shots:
        task = {"way": way, "shot": shot, "queries": queries, "episodes": episodes}
        for seed, call in enumerate(("first_call", "second_call")):
            begin = clock()
            _evaluate(evaluator, params, features, texts, split, task | {"seed": seed})
            seconds = clock() - begin
            settings = {"method": method, "videos": split.num_videos, "width": width, **task}
            measured.append(
                summarise(
                    f"eval/{method}/{shot}shot/{call}",
                    [seconds],
                    items=episodes,
                    unit="episodes/s",
                    settings=settings | {"frames": frames},
                )
            )
    return measured


def _evaluate(
    evaluator: EpisodeEvaluator,
    params: Any,
    features: Mapping[str, np.ndarray],
    texts: np.ndarray,
    split: Split,
    task: Mapping[str, int],
) -> dict[str, Any]:
    table = sample_episode_table(split, **task)
    answers = evaluator(params, features, texts, table, jax.random.key(task["seed"]))
    return episode_metrics(answers, table, split.names)
