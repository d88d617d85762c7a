"""The stack of a tower's blocks, one after the other or in loops.

In a loop one block is compiled and runs over the parameters of several, which are put together at
every call; the parameters themselves are the same as without. Blocks that differ (an adapter in
some of them, or frozen in part) are in different loops.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mdmf_jax.models.encoders.clip.blocks import EncoderLayer
from mdmf_jax.models.encoders.clip.config import TowerConfig
from mdmf_jax.models.layers.adapter import ALONE, AdapterMaker, TowerCall, same_adapter

# adapter_of(number of a block) -> how its adapter is made, or None
AdapterOf = Callable[[int], AdapterMaker | None]


def no_adapter(block: int) -> None:
    """For towers without adapters."""
    return None


class EncoderLayers(nn.Module):
    """The blocks, named "0", "1", ... [B, L, D] -> [B, L, D].

    Attributes:
      remat: a backward pass keeps the input of each block only and computes the rest again.
      scan: equal blocks run in a loop; see above.
      first_only: the last block computes the first token only, [B, L, D] -> [B, 1, D], unless it
        has an adapter.
      adapter_of: see `Adapter`.
      breaks: numbers of blocks at which a new loop begins, besides those where adapters differ.
      keep: numbers l of blocks, 0..blocks, after which tokens are kept; 0 is the input.
      streams: random streams that adapters draw from.
    """

    config: TowerConfig
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str = "auto"
    remat: bool = False
    scan: bool = False
    first_only: bool = False
    adapter_of: AdapterOf = no_adapter
    breaks: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()
    streams: tuple[str, ...] = ()

    @nn.compact
    def __call__(
        self, x: jax.Array, texts: jax.Array | None = None, call: TowerCall = ALONE
    ) -> tuple[jax.Array, dict[int, jax.Array]]:
        """Returns the last tokens, and the kept ones [B, L, D] by their number."""
        kept = {0: x} if 0 in self.keep else {}
        for blocks in self._groups():
            if len(blocks) > 1 and self.scan and not self.is_initializing():
                x = self._loop(blocks, x, texts, call)
            else:
                for index in blocks:
                    x = self._block(index)(x, index, texts, call)
            if blocks[-1] + 1 in self.keep:
                kept[blocks[-1] + 1] = x
        return x, kept

    def _groups(self) -> list[list[int]]:
        """Numbers of the blocks in groups that may each run in a loop; the last is alone."""
        count, groups = self.config.num_hidden_layers, [[0]]
        for index in range(1, count):
            differs = not same_adapter(self.adapter_of(index - 1), self.adapter_of(index))
            begins = index in self.breaks or index in self.keep or index == count - 1
            if differs or begins:
                groups.append([])
            groups[-1].append(index)
        return groups

    def _options(self, index: int) -> dict[str, Any]:
        last, maker = index == self.config.num_hidden_layers - 1, self.adapter_of(index)
        return {
            "config": self.config,
            "causal": self.causal,
            "dtype": self.dtype,
            "attention": self.attention,
            "first_only": self.first_only and last and maker is None,
            "adapter": maker,
        }

    def _block(self, index: int) -> nn.Module:
        # The call's facts are known before compiling; argument 0 is the module.
        layer = nn.remat(EncoderLayer, static_argnums=(4,)) if self.remat else EncoderLayer
        return layer(**self._options(index), name=str(index))

    def _loop(self, blocks: Sequence[int], x, texts, call: TowerCall) -> jax.Array:
        """The blocks in a loop; each draws random numbers of its own."""
        params = [self.variables["params"][str(index)] for index in blocks]
        together = jax.tree.map(lambda *each: jnp.stack(each), *params)
        keys = {
            stream: jax.random.split(self.make_rng(stream), len(blocks))
            for stream in self.streams
            if self.has_rng(stream)
        }
        block = EncoderLayer(**self._options(blocks[0]), parent=None)

        def step(x, each) -> tuple[Any, None]:
            params, rngs, index = each
            return block.apply({"params": params}, x, index, texts, call, rngs=rngs), None

        if self.remat:
            step = jax.checkpoint(step, prevent_cse=False)  # A loop is not optimised across steps.
        return jax.lax.scan(step, x, (together, keys, jnp.array(blocks)))[0]


class Transformer(nn.Module):
    """A transformer without embeddings and final LayerNorm; see `EncoderLayers`."""

    config: TowerConfig
    options: Any = None  # a dict of `EncoderLayers`' further attributes

    @nn.compact
    def __call__(
        self, x: jax.Array, texts: jax.Array | None = None, call: TowerCall = ALONE
    ) -> tuple[jax.Array, dict[int, jax.Array]]:
        return EncoderLayers(self.config, **dict(self.options or {}), name="layers")(x, texts, call)
