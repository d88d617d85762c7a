"""What to evaluate."""

from dataclasses import dataclass, replace
from typing import Any

from mdmf_jax.config.config import Config
from mdmf_jax.training.build import pinned_config


@dataclass(frozen=True)
class Task:
    """What to evaluate; None takes the value of the config.

    Attributes:
      split: "train", "val" or "test".
      way, shot, queries: sizes of an episode; `queries` is per class.
      episodes: number of episodes.
      seed: names the sequence of episodes, together with the split.
      encoder, data: where the encoder's files and the videos lie, if they have moved.
    """

    split: str | None = None
    way: int | None = None
    shot: int | None = None
    queries: int | None = None
    episodes: int | None = None
    seed: int | None = None
    encoder: str | None = None
    data: str | None = None

    def sizes(self, config: Config) -> dict[str, Any]:
        """split, way, shot, queries, episodes and seed, with the config's where None is given."""
        default = {
            "split": config.eval.split,
            "way": config.eval.way,
            "shot": config.episode.shot,
            "queries": config.eval.queries,
            "episodes": config.eval.episodes,
            "seed": config.seed,
        }
        given = {name: getattr(self, name) for name in default}
        return default | {name: value for name, value in given.items() if value is not None}


def adapted(config: Config, task: Task) -> Config:
    """The config with the places that the task gives; the encoder's name is pinned.

    Raises:
      UserError: as of `pinned_config`.
    """
    encoder = replace(config.encoder, path=task.encoder) if task.encoder else config.encoder
    data = replace(config.data, root=task.data) if task.data else config.data
    return pinned_config(replace(config, encoder=encoder, data=data))
