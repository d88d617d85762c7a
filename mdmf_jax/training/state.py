"""The train state, born on its devices."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from mdmf_jax.training.average import AveragedState
from mdmf_jax.training.optimizer import split_params
from mdmf_jax.training.sharding import tree_shardings


class TrainState(struct.PyTreeNode):
    """Everything that training changes.

    Attributes:
      step: optimizer steps done, int32 scalar.
      skipped: of these, steps without a finite loss and gradient, which changed nothing, int32.
      params: {"encoder": ..., "head": ...}.
      opt_state: of the trained parameters only.
    """

    step: jax.Array
    skipped: jax.Array
    params: Any
    opt_state: Any

    @property
    def tested(self) -> Any:
        """The parameters to validate and to test: their average, where one is kept."""
        if not isinstance(self.opt_state, AveragedState):
            return self.params
        return overlaid(self.params, self.opt_state.average)


def overlaid(params: Any, average: Any) -> Any:
    """Parameters with their average in the place of those that are trained."""
    flat: dict[str, Any] = flatten_dict(params, keep_empty_nodes=True)
    return unflatten_dict(flat | flatten_dict(average))


class StateMaker:
    """Makes states at step 0.

    Args:
      init: (key, pretrained leaves) -> parameters; see `FewShotModel.init`.
      pretrained: leaves of the encoder, arrays on the host.
      freeze: see `split_params`.
      divide: see `tree_shardings`.

    Attributes:
      abstract: shapes and shardings of a state.

    Raises:
      ConfigError: as `split_params`.
    """

    def __init__(
        self,
        init: Callable[[jax.Array, Any], Any],
        pretrained: Mapping[str, Any],
        optimizer: optax.GradientTransformation,
        *,
        freeze: Sequence[str],
        mesh: Mesh,
        divide: bool = False,
    ):
        def make(key: jax.Array, pretrained: Any) -> TrainState:
            params = init(key, pretrained)
            trained, _ = split_params(params, freeze, may_be_all=True)
            zero = jnp.zeros((), jnp.int32)
            return TrainState(zero, zero, params, optimizer.init(trained))

        shapes = jax.eval_shape(make, jax.random.key(0), pretrained)
        self.shardings = tree_shardings(shapes, mesh, divide=divide)
        self.abstract: TrainState = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, self.shardings
        )
        self._pretrained = pretrained
        self._placed = tree_shardings(pretrained, mesh, divide=divide)
        # It runs once or twice, so that compiling fast matters more than running fast.
        self._make = jax.jit(
            make,
            out_shardings=self.shardings,
            compiler_options={"xla_backend_optimization_level": 0},
        )

    def __call__(self, key: jax.Array) -> TrainState:
        """A new state; its arrays are born on the devices they belong to."""
        return self._make(key, jax.device_put(self._pretrained, self._placed))
