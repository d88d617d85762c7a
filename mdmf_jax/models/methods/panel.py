"""What a method lets a report show of an episode."""

from typing import NamedTuple

from mdmf_jax.ops.arrays import AnyArray


class Panel(NamedTuple):
    """One comparison of the queries of an episode with its classes.

    Attributes:
      query: frame tokens of the queries [Q, T, D].
      prototypes: frame tokens that stand for the classes [W, S, D].
      visual: scores of the frames [Q, W].
      text: scores of the texts [Q, W]; None where there are none.
    """

    query: AnyArray
    prototypes: AnyArray
    visual: AnyArray
    text: AnyArray | None = None
