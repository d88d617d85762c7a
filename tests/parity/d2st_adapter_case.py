"""Runs D2ST-Adapter on a parity case, single functions or a model from pixels to gradients."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from d2st_adapter_parts import add_norms, attention, grid_sample, precise, recorded
from synth import state_dict, tensor

from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.layers.adapter import TowerCall
from mdmf_jax.models.methods.d2st import D2ST, D2STConfig
from mdmf_jax.weights import d2st

MOST_BLOCKS = 64


# In float64, weights that are changed by as much as float32 rounds them (6e-8 of each) move these
# gradients by up to 1.3e-4 of their largest entry: a point lies at a voxel's border, where the
# derivative jumps. The stored ones are themselves up to 1.4e-4 off a float64 run (2026-11-25).
UNDETERMINED = {"vit_train_5way_5shot": ("grad/model.transformer.resblocks.0.Adapter.", 2.5e-4)}


def tolerances(content: Mapping) -> tuple[tuple[str, float], ...]:
    """Those of the cases' README. Layer norms over four channels magnify rounding."""
    if content["case"].get("module"):
        return (("samples", 3e-5), ("points", 3e-5))
    places = [f"block{index}" for index in range(MOST_BLOCKS)] + [f"stage{k}" for k in range(5)]
    found = [("query_ce", 5e-5), ("class_ce", 5e-5)]
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
        return grid_sample(content, expected), expected
    if module:
        return attention(content, expected), expected
    return _whole(settings, content, expected), expected


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


def windows(case: Mapping) -> dict[str, Any]:
    """Options of the windows that a case says; nothing where they are the published ones."""
    found: dict[str, Any] = {}
    for ours, theirs in (("space", "spatial"), ("time", "temporal")):
        own = case.get(theirs, {})
        found |= {f"{ours}_{n}": tuple(own[n]) for n in ("kernel", "stride", "padding") if own}
        found |= {f"{ours}_{n}": (own[n],) for n in ("heads", "groups") if own}
    return found


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
    options = D2STEncoder.Config(
        dtype=_float(), adapter_scale=case["adapter_scale"], **windows(case)
    )
    wanted = ("frames", *(f"tokens_{index + 1}" for index in range(case["layers"])))
    return D2STEncoder(options, CLIPConfig(vision, TextConfig(64, 256, 1, 1)), wanted=wanted)


def _float() -> Any:
    return jnp.result_type(float).name  # float64 with JAX_ENABLE_X64


def load(case: Mapping, weights: Mapping, origin: str) -> tuple[Encoder, D2STConfig, Any]:
    """Encoder, method and parameters of a case."""
    method = D2STConfig(class_weight=case["classification_weight"] or 0.0)
    if case["backbone"] == "vit":
        encoder = vit_encoder(case, weights)
        own = encoder.sizes, encoder.options, method
        return encoder, method, d2st.load_state_dict(weights, *own, origin=origin)
    sizes = d2st.resnet_sizes(weights, origin=origin)
    options = D2STResNetEncoder.Config(
        dtype=_float(),
        adapter_scale=case["adapter_scale"],
        image_size=case["image_size"],
        **windows(case),
    )
    params = d2st.load_resnet_state_dict(
        weights, sizes, options, method, frames=case["frames"], origin=origin
    )
    return D2STResNetEncoder(options, sizes), method, params


def encode(encoder: Encoder, videos: jax.Array) -> dict[str, jax.Array]:
    """Features of pixels [N, T, S, S, 3], which are taken as they are."""
    if isinstance(encoder, D2STResNetEncoder):
        return {"frames": encoder.frames(videos)}
    count, length, *image = videos.shape
    found = encoder.vision.features(videos.reshape(-1, *image), None, TowerCall(length))
    return {name: x.reshape(count, length, *x.shape[1:]) for name, x in found.items()}


def _whole(settings: Path, content: Mapping, expected: dict[str, Any]) -> dict[str, Any]:
    case, seed = content["case"], content["seed"]
    weights = state_dict(json.loads((settings.parent / content["params"]).read_text()), seed=seed)
    encoder, method, params = load(case, weights, settings.name)
    episode, params = read_episode(expected), precise(params)
    support = frames(episode.support_ids, "support_set", content)
    query = frames(episode.query_ids, "target_set", content)
    videos = precise(np.concatenate([support, query]))

    def forward(params, videos):
        found, kept = encoder.apply(
            {"params": params["encoder"]},
            videos,
            method=encode,
            mutable=["intermediates"],
            capture_intermediates=recorded,
        )
        output = match(method, params["head"], found["frames"], episode, case)
        return output.losses["total"], (output, found, kept["intermediates"])

    if case["mode"] == "eval":
        return _by_case_names(case, episode, *jax.jit(forward)(params, videos)[1])
    (_, outputs), gradients = jax.jit(jax.value_and_grad(forward, has_aux=True))(params, videos)
    ours = _by_case_names(case, episode, *outputs)
    ours |= {f"grad/{name}": x for name, x in d2st.state_dict(gradients).items()}
    add_norms(ours, content, expected)
    return ours


def match(method: D2STConfig, head: Any, features: jax.Array, episode: Episode, case: Mapping):
    """The method's output from the frame features of all videos."""
    count = len(episode.support_ids)
    supports = features[:count][episode.order]
    output: Any = D2ST(method).apply(
        {"params": head},
        {"frames": supports.reshape(episode.way, -1, *features.shape[1:])},
        {"frames": features[count:]},
        jnp.zeros((episode.way, 1)),
        query_labels=episode.query_labels,
        class_ids=episode.class_ids,
        class_texts=jnp.zeros((case["num_train_classes"], 1)),
        train=case["mode"] == "train",
    )
    return output


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
    if case["backbone"] == "vit":
        return named | _blocks(case["layers"], found, kept)
    for index, stage in enumerate(kept["stage"], 1):
        named[f"stage{index}/pooled"] = stage[: case["frames"]].mean((1, 2))
        named |= _sampled(f"stage{index}", kept[f"adapter{index}"])
    return named


def _blocks(count: int, found: Mapping, kept: Mapping) -> dict[str, Any]:
    """What a case has of a transformer's blocks, of its first video."""
    named, layers = {}, kept["vision_model"]["encoder"]["layers"]
    for index in range(count):
        own = layers[str(index)]["adapter"]["bottleneck"]
        named[f"block{index}/cls"] = found[f"tokens_{index + 1}"][0, :, 0]
        named[f"block{index}/adapter_branch_frame0"] = own["__call__"][0][0, 0]
        named |= _sampled(f"block{index}", own)
    return named


def _sampled(where: str, kept: Mapping) -> dict[str, Any]:
    """Points [groups, P, 3] and samples [P, c] of the first video."""
    named = {}
    for ours, theirs in (("space", "spatial"), ("time", "temporal")):
        own = kept[f"{ours}_attention"]
        samples = own["samples"][0]
        groups = len(own["points"][0]) // len(samples)
        named[f"{where}/{theirs}_points"] = own["points"][0][:groups]
        named[f"{where}/{theirs}_samples"] = samples[0]
    return named
