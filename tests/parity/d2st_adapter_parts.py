"""The single functions of D2ST-Adapter on a parity case: sampling, and one attention alone."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from synth import state_dict, tensor

from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.layers.deformable import D2STBottleneck, Deformable, DeformableAttention
from mdmf_jax.ops.deformable import Window
from mdmf_jax.ops.sampling import trilinear
from mdmf_jax.weights import d2st
from mdmf_jax.weights.table import to_params, to_tensors


def precise(tree: Any) -> Any:
    """The leaves as JAX arrays, float64 with JAX_ENABLE_X64."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), tree)


def grid_sample(content: Mapping, expected: dict[str, Any]) -> dict[str, Any]:
    case, seed = content["case"], content["seed"]
    volume = tensor("volume", case["volume"], seed=seed)
    cotangent = tensor("cotangent", expected["samples"].shape, seed=seed)
    volume, points, cotangent = precise((volume, expected.pop("points"), cotangent))
    samples, pull = jax.vjp(lambda v, p: trilinear(jnp.moveaxis(v, 1, -1), p), volume, points)
    of_volume, of_points = pull(cotangent)
    return {"samples": samples, "grad_volume": of_volume, "grad_points": of_points}


def deformable(options: Mapping) -> Deformable:
    """The window, heads and groups of a json."""
    three = [tuple(options[name]) for name in ("kernel", "stride", "padding")]
    return Deformable(Window(*three), options["heads"], options["groups"])


def attention(content: Mapping, expected: dict[str, Any]) -> dict[str, Any]:
    """One deformable attention with the gradients of its input and parameters."""
    case, seed = content["case"], content["seed"]
    sizes = tuple(case[name] for name in ("frames", "height", "width"))
    resnet = case["module"].startswith("resnet")
    module = DeformableAttention(case["dim"], deformable(case), sizes, jnp.result_type(float))
    rules = [
        entry
        for entry in d2st.adapter_rules("", "", convolutions=resnet)
        if entry.source.startswith(".s_attn.")
    ]

    def tokens(x):  # -> [N, T, L, c]
        if resnet:
            return jnp.moveaxis(x, 1, -1).reshape(x.shape[0], sizes[0], -1, case["dim"])
        return jnp.moveaxis(x, 0, 1).reshape(case["videos"], sizes[0], x.shape[0], -1)

    def back(y):
        if resnet:
            return jnp.moveaxis(y.reshape(case["videos"], *sizes, -1), -1, 1)
        return jnp.moveaxis(y.reshape(-1, *y.shape[2:]), 1, 0)

    x = precise(tensor("x", content["input_shapes"]["x"], seed=seed))
    weights = {f".s_attn.{n}": a for n, a in state_dict(content["params"], seed=seed).items()}
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), tokens(x)), x)["params"]
    nested = {
        "/space_attention/" + path: leaf for path, leaf in flatten_dict(shapes, sep="/").items()
    }
    params = to_params(weights, rules, unflatten_dict(nested, sep="/"), origin="case")

    def forward(params, x):
        y, kept = module.apply(
            {"params": params[""]["space_attention"]},
            tokens(x),
            mutable=["intermediates"],
            capture_intermediates=recorded,
        )
        return back(y), kept["intermediates"]

    @jax.jit
    def both(params, x, cotangent):
        y, pull, kept = jax.vjp(forward, params, x, has_aux=True)
        return y, pull(cotangent), kept

    cotangent = tensor("cotangent", expected["y"].shape, seed=seed)
    y, (gradients, of_x), kept = both(precise(params), x, precise(cotangent))
    points = kept["points"][0]
    ours = {"y": y, "grad_x": of_x, "samples": kept["samples"][0]}
    ours["points"] = points.reshape(case["videos"], case["groups"], *points.shape[1:])
    named = to_tensors(gradients, rules)
    ours |= {f"grad/{name.removeprefix('.s_attn.')}": x for name, x in named.items()}
    add_norms(ours, content, expected)
    return {name: ours[name] for name in expected if name in ours}


def recorded(module: Any, name: str) -> bool:
    """Whether a method's result is wanted besides the model's own."""
    if isinstance(module, DeformableAttention):
        return name in ("points", "samples")
    stages = (D2STBottleneck, "__call__"), (D2STResNetEncoder, "stage")
    return any(isinstance(module, kind) and name == method for kind, method in stages)


def add_norms(ours: dict[str, Any], content: Mapping, expected: dict[str, Any]) -> None:
    """Puts the norms of gradients among both sides."""
    for name, norm in content.get("gradadd_norms", {}).items():
        expected[f"grad_norm/{name}"] = np.asarray(norm)
        ours[f"grad_norm/{name}"] = np.linalg.norm(ours[f"grad/{name}"])
