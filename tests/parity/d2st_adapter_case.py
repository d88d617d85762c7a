"""Runs D2ST-Adapter on a parity case: single functions, or whole models from pixels to gradients."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.layers.adapter import TowerCall
from mdmf_jax.models.layers.deformable import (
    D2STBottleneck,
    Deformable,
    DeformableAttention,
)
from mdmf_jax.models.methods.d2st import D2ST, D2STConfig
from mdmf_jax.ops.deformable import Window
from mdmf_jax.ops.sampling import trilinear
from mdmf_jax.weights import d2st
from mdmf_jax.weights.table import to_params, to_tensors

MOST_BLOCKS = 64


def tolerances(content: Mapping) -> tuple[tuple[str, float], ...]:
    """Those of the cases' README. Layer norms over four channels magnify rounding."""
    if content["case"].get("module"):
        return (("samples", 3e-5), ("points", 3e-5))
    places = [f"block{index}" for index in range(MOST_BLOCKS)] + [f"stage{k}" for k in range(5)]
    found = [("query_ce", 5e-5), ("class_ce", 5e-5), ("block0/adapter_branch", 1e-4)]
    for place in places:
        for part in ("spatial", "temporal"):
            found += [(f"{place}/{part}_points", 1e-4), (f"{place}/{part}_samples", 3e-4)]
    if content["case"]["backbone"] == "resnet":
        found += [("distance", 1e-4), ("logits", 1e-4), ("grad", 1e-3)]
    return tuple(found)


class Episode(NamedTuple):
    """Labels of a case, and the order that sorts its supports by class."""

    order: np.ndarray  # [W K]
    way: int
    class_ids: np.ndarray  # [W]
    query_labels: np.ndarray  # [Q]
    support_ids: np.ndarray  # [W K], in the case's order
    query_ids: np.ndarray  # [Q]


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case, in the case's order of videos."""
    content = json.loads(settings.read_text())
    expected = dict(np.load(settings.with_suffix(".npz")))
    module = content["case"].get("module")
    if module == "grid_sample":
        return _grid_sample(content, expected), expected
    if module:
        return _attention(content, expected), expected
    return _whole(settings, content, expected), expected


def precise(tree: Any) -> Any:
    """The leaves as JAX arrays, float64 with JAX_ENABLE_X64."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), tree)


def _grid_sample(content: Mapping, expected: Mapping) -> dict[str, Any]:
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


def _attention(content: Mapping, expected: Mapping) -> dict[str, Any]:
    """One deformable attention with the gradients of its input and parameters."""
    case, seed = content["case"], content["seed"]
    sizes = tuple(case[name] for name in ("frames", "height", "width"))
    resnet = case["module"].startswith("resnet")
    module = DeformableAttention(case["dim"], deformable(case), sizes)
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
            capture_intermediates=_recorded,
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
    _norms(ours, content, expected)
    return {name: ours[name] for name in expected if name in ours}


def _recorded(module: Any, name: str) -> bool:
    """Whether a method's result is wanted besides the model's own."""
    if isinstance(module, DeformableAttention):
        return name in ("points", "samples")
    return isinstance(module, D2STBottleneck) and name == "__call__"


def _norms(ours: dict[str, Any], content: Mapping, expected: dict[str, Any]) -> None:
    """Puts the norms of gradients among both sides."""
    for name, norm in content.get("grad_norms", {}).items():
        expected[f"grad_norm/{name}"] = np.asarray(norm)
        ours[f"grad_norm/{name}"] = np.linalg.norm(ours[f"grad/{name}"])


def read_episode(arrays: Mapping[str, np.ndarray]) -> Episode:
    support = arrays["in/support_labels"].astype(int)
    order = np.argsort(support, kind="stable")
    way = len(set(support))
    ids = arrays["in/real_support_labels"].astype(int)
    first = np.searchsorted(support[order], np.unique(support))
    query = np.searchsorted(np.unique(support), arrays["in/target_labels"].astype(int))
    queries = arrays["in/real_target_labels"].astype(int)
    return Episode(order, way, ids[order][first], query, ids, queries)


def frames(ids: np.ndarray, name: str, content: Mapping) -> np.ndarray:
    """Videos [N, T, S, S, 3] of the real classes `ids`."""
    case, seed = content["case"], content["seed"]
    side = case["image_size"]
    shape = (case["frames"], 3, side, side)
    clips = tensor(name, (len(ids), *shape), std=content["pixel_noise"], seed=seed)
    clips = clips + np.stack([tensor(f"class_frames.{real}", shape, seed=seed) for real in ids])
    if spread := content.get("pixel_colour_std"):
        colours = [
            tensor(f"class_colour.{real}", (shape[0], 3, 1, 1), std=spread, seed=seed)
            for real in ids
        ]
        clips = clips + np.stack(colours)
    return clips.transpose(0, 1, 3, 4, 2)


def vit_encoder(case: Mapping, weights: Mapping[str, np.ndarray]) -> D2STEncoder:
    """The encoder of a case; sizes that the json does not say are read off the tensors."""
    hidden = weights["model.transformer.resblocks.0.mlp.c_fc.weight"].shape[0]
    vision = VisionConfig(
        case["width"],
        hidden,
        case["layers"],
        case["heads"],
        image_size=case["image_size"],
        patch_size=case["patch_size"],
    )
    windows: dict[str, Any] = {}
    for ours, theirs in (("space", "spatial"), ("time", "temporal")):
        own = case[theirs]
        windows |= {f"{ours}_{n}": tuple(own[n]) for n in ("kernel", "stride", "padding")}
        windows |= {f"{ours}_{n}": (own[n],) for n in ("heads", "groups")}
    options = D2STEncoder.Config(adapter_scale=case["adapter_scale"], **windows)
    wanted = ("frames", *(f"tokens_{index + 1}" for index in range(case["layers"])))
    return D2STEncoder(options, CLIPConfig(vision, TextConfig(64, 256, 1, 1)), wanted=wanted)


def _whole(settings: Path, content: Mapping, expected: dict[str, Any]) -> dict[str, Any]:
    case, seed = content["case"], content["seed"]
    weights = state_dict(json.loads((settings.parent / content["params"]).read_text()), seed=seed)
    method = D2STConfig(class_weight=case["classification_weight"] or 0.0)
    encoder = vit_encoder(case, weights)
    params = d2st.load_state_dict(
        weights, encoder.sizes, encoder.options, method, origin=settings.name
    )
    episode = read_episode(expected)
    support = frames(episode.support_ids, "support_set", content)
    query = frames(episode.query_ids, "target_set", content)
    videos = precise(np.concatenate([support, query]))
    length = case["frames"]

    def encode(module, videos):
        return module.vision.features(
            videos.reshape(-1, *videos.shape[2:]), None, TowerCall(length)
        )

    def forward(params, videos):
        found, kept = encoder.apply(
            {"params": params["encoder"]},
            videos,
            method=encode,
            mutable=["intermediates"],
            capture_intermediates=_recorded,
        )
        found = {n: x.reshape(-1, length, *x.shape[1:]) for n, x in found.items()}
        features = found["frames"]
        count = len(episode.support_ids)
        supports = features[:count][episode.order].reshape(episode.way, -1, *features.shape[1:])
        output = D2ST(method).apply(
            {"params": params["head"]},
            {"frames": supports},
            {"frames": features[count:]},
            jnp.zeros((episode.way, 1)),
            query_labels=episode.query_labels,
            class_ids=episode.class_ids,
            class_texts=jnp.zeros((case["num_train_classes"], 1)),
            train=case["mode"] == "train",
        )
        return output.losses["total"], (output, found, kept["intermediates"])

    forward = partial(forward, videos=videos)
    if case["mode"] == "eval":
        _, outputs = jax.jit(forward)(precise(params))
        return _by_case_names(case, episode, *outputs)
    gradient = jax.jit(jax.value_and_grad(forward, has_aux=True))
    (_, outputs), gradients = gradient(precise(params))
    ours = _by_case_names(case, episode, *outputs)
    ours |= {f"grad/{name}": x for name, x in d2st.state_dict(gradients).items()}
    _norms(ours, content, expected)
    return ours


def _by_case_names(case: Mapping, episode: Episode, output, found, kept) -> dict[str, Any]:
    count, features = len(episode.support_ids), np.asarray(found["frames"])
    named = {
        "support_features": features[:count],
        "target_features": features[count:],
        "logits": output.logits,
        **{n: output.diagnostics[n] for n in ("prototypes", "frame_distance", "distance")},
        "query_ce": output.losses["cross_entropy"],
        "class_ce": output.losses["class"],
        "total_loss": output.losses["total"],
    }
    if "class_logits" in output.diagnostics:
        back = np.concatenate([np.argsort(episode.order), np.arange(count, len(features))])
        named["class_logits"] = output.diagnostics["class_logits"][back]
    layers = kept["vision_model"]["encoder"]["layers"]
    for index in range(case["layers"]):
        own = layers[str(index)]["adapter"]["bottleneck"]
        named[f"block{index}/cls"] = found[f"tokens_{index + 1}"][0, :, 0]
        named[f"block{index}/adapter_branch_frame0"] = own["__call__"][0][0, 0]
        named |= _sampled(case, f"block{index}", own)
    return named


def _sampled(case: Mapping, where: str, kept: Mapping) -> dict[str, Any]:
    """Points [groups, P, 3] and samples [P, c] of the first video."""
    named = {}
    for ours, theirs in (("space", "spatial"), ("time", "temporal")):
        own = kept[f"{ours}_attention"]
        samples = own["samples"][0]
        groups = len(own["points"][0]) // len(samples)
        named[f"{where}/{theirs}_points"] = own["points"][0][:groups]
        named[f"{where}/{theirs}_samples"] = samples[0]
    return named
