"""For users of NNX: a method and an encoder wrapped by flax's bridge; see docs/architecture.md."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx import bridge

from mdmf_jax.models.methods.cross_transformer import CrossTransformer, CrossTransformerConfig


def test_a_method_as_an_nnx_module_computes_the_same():
    rng = np.random.default_rng(0)
    support = {"frames": rng.normal(size=(2, 1, 3, 8)).astype(np.float32)}
    query = {"frames": rng.normal(size=(4, 3, 8)).astype(np.float32)}
    texts = jnp.zeros((2, 8))
    method = CrossTransformer(CrossTransformerConfig(width=4))

    wrapped = bridge.ToNNX(method, rngs=nnx.Rngs(0))
    bridge.lazy_init(wrapped, support, query, texts)
    graph, state = nnx.split(wrapped)

    @jax.jit
    def logits(state):
        return nnx.merge(graph, state)(support, query, texts).logits

    leaves = nnx.to_pure_dict(nnx.state(wrapped, nnx.Param))
    params = jax.tree.map(jnp.asarray, {k: v for k, v in leaves.items() if v})
    expected = method.apply({"params": params}, support, query, texts).logits
    np.testing.assert_allclose(logits(state), expected, rtol=1e-5, atol=1e-6)
