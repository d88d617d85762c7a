"""What the adapters of these tests do, for arrays of JAX and of NumPy."""

from types import SimpleNamespace

from mdmf_jax.models.layers.adapter import Adapter

PROJECTIONS = {"q_proj": 0.3, "k_proj": -0.2, "v_proj": 0.5, "out_proj": 0.4, "fc1": -0.6, "fc2": 1}

# Each mixes along an axis of its own, so that tokens in a wrong place would show.
HOOKS = {
    "before_attention": lambda self, x, context: x + 0.3 * x[:, ::-1],
    "after_attention": lambda self, y, context: (1.5 + context.block) * y[:, :, ::-1],
    "beside_mlp": lambda self, normed, context: 0.2 * normed.mean(1, keepdims=True),
    "after_block": lambda self, x, context: x - 0.1 * x[::-1],
    "beside_projection": lambda self, name, x, context: (
        PROJECTIONS[name] * x.mean(-1, keepdims=True)
    ),
}


def adapter_with(*names):
    return type("Some", (Adapter,), {name: HOOKS[name] for name in names})


def in_numpy(names, index):
    """The same hooks for `block`."""
    context = SimpleNamespace(block=index)

    def bound(name):
        if name == "beside_projection":
            return lambda layer, x: HOOKS[name](None, layer, x, context)
        return lambda x: HOOKS[name](None, x, context)

    return {name: bound(name) for name in names}
