"""What a few-shot method returns for one episode."""

from typing import NamedTuple

from jax import Array


class EpisodeOutput(NamedTuple):
    """Result of a method on one episode.

    Attributes:
      logits: class scores of every query [Q, W]; the arg max is the prediction.
      losses: scalars by name, among them "total"; empty without query labels.
      diagnostics: intermediate arrays by name. Under jit, what nobody reads is not computed.
    """

    logits: Array
    losses: dict[str, Array]
    diagnostics: dict[str, Array]
