"""Runs CLIP-MDMF on a parity case, from pixels to gradients, in the reference variant."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.clip.model import CLIPVision
from mdmf_jax.models.mdmf import MDMF, MDMFConfig
from mdmf_jax.weights import reference

CONDITIONS = {
    (0, 0): "none",
    (1, 0): "text",
    (0, 1): "visual",
    (1, 1): "text_and_visual",
}
TEXT_ROWS = {"train": 9, "test": 7}


class Episode(NamedTuple):
    """Labels of a case, and the order that sorts its supports by class."""

    order: np.ndarray  # [W K]
    way: int
    class_ids: np.ndarray  # [W]
    query_labels: np.ndarray  # [Q]
    support_ids: np.ndarray  # [W K], in the case's order
    query_ids: np.ndarray  # [Q]


def method_config(case: dict[str, Any]) -> MDMFConfig:
    class_weight, query_weight, distill_weight = case.get("lambdas", (0, 1, 1))
    return MDMFConfig(
        text_token="first_frame",
        teacher_gradient=True,
        reduction="sum",
        pps=case.get("pps", True),
        depth=case.get("depth", 1),
        bidirectional=not case.get("single_direct", False),
        direction=case.get("direction", "up2down"),
        condition=CONDITIONS[tuple(case.get("condition", (1, 0)))],
        class_weight=class_weight,
        query_weight=query_weight,
        distill_weight=distill_weight,
    )


def clip_config(weights: dict[str, np.ndarray]) -> CLIPConfig:
    """Sizes of the small image tower, from its tensors; the text tower is not used."""
    width, _, patch, _ = weights["backbone.conv1.weight"].shape
    grid = round((len(weights["backbone.positional_embedding"]) - 1) ** 0.5)
    layers = len({name.split(".")[3] for name in weights if ".resblocks." in name})
    vision = VisionConfig(
        width, 4 * width, layers, width // 64, image_size=grid * patch, patch_size=patch
    )
    return CLIPConfig(vision, TextConfig(64, 256, 1, 1), weights["backbone.proj"].shape[1])


def read_episode(arrays: dict[str, np.ndarray]) -> Episode:
    support = arrays["in/support_labels"].astype(int)
    query = arrays["in/target_labels"].astype(int)
    support_ids = arrays["in/real_support_labels"].astype(int)
    order = np.argsort(support, kind="stable")
    way = len(set(support))
    return Episode(
        order,
        way,
        support_ids[order].reshape(way, -1)[:, 0],
        query,
        support_ids,
        arrays["in/real_target_labels"].astype(int),
    )


def frames(ids: np.ndarray, name: str, seed: int, side: int = 32) -> np.ndarray:
    """Videos [N, T, height, width, 3] of the real classes `ids`."""
    shape = (8, 3, side, side)
    noise = tensor(name, (len(ids), *shape), std=0.7, seed=seed)
    clips = np.stack([tensor(f"class_frames.{real}", shape, seed=seed) for real in ids])
    return (clips + noise).transpose(0, 1, 3, 4, 2)


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case, in the case's order of videos."""
    case, seed = _read(settings)["case"], _read(settings)["seed"]
    expected = dict(np.load(settings.with_suffix(".npz")))
    depth = "_depth2" if case.get("depth", 1) == 2 else ""
    weights = state_dict(_read(settings.parent / f"params_vit{depth}.json"), seed=seed)
    clip, method = clip_config(weights), method_config(case)
    params = reference.load_state_dict(weights, clip, method, origin=settings.name)
    episode, mode = read_episode(expected), case["mode"].replace("eval", "test")
    table = tensor(f"text_features_{mode}", (TEXT_ROWS[mode], clip.projection_dim), seed=seed)
    support = frames(episode.support_ids, "support_set", seed)[episode.order]
    query = frames(episode.query_ids, "target_set", seed)
    choice = expected["pps_class"].astype(int) if case.get("pps", True) else None

    def forward(params):
        def encode(videos):
            flat = CLIPVision(clip).apply(
                {"params": params["encoder"]}, videos.reshape(-1, *videos.shape[2:])
            )
            return flat.reshape(*videos.shape[:2], -1)

        supports, queries = encode(support), encode(query)
        output = MDMF(method).apply(
            {"params": params["head"]},
            supports.reshape(episode.way, -1, *supports.shape[1:]),
            queries,
            table[episode.class_ids],
            query_labels=episode.query_labels,
            class_ids=episode.class_ids,
            class_table=table,
            prompt_choice=choice,
        )
        return output.losses["total"], (output, supports, queries)

    grad = jax.jit(jax.value_and_grad(forward, has_aux=True))
    (_, (output, supports, queries)), gradients = grad(jax.tree.map(jnp.asarray, params))
    ours = _by_case_names(output, supports, queries, episode)
    if case["mode"] == "train":
        ours |= _gradients(gradients, _read(settings)["grad_norms"], expected)
    return ours, expected


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _by_case_names(output, supports, queries, episode: Episode) -> dict[str, Any]:
    d = output.diagnostics
    back = np.argsort(episode.order)

    def unsorted(x):  # [W, K, ...] -> [W K, ...] in the case's order
        return x.reshape(-1, *x.shape[2:])[back]

    class_logits = d["class_logits"]
    items = np.concatenate([back, np.arange(len(back), len(class_logits))])
    named = {
        "support_features": supports[back],
        "query_features": queries,
        "support_frames_kept": unsorted(d["support_frames_kept"]),
        "query_frames_kept": d["query_frames_kept"],
        "pps_argmax_class": d["prompt_argmax"],
        "pps_class": d["prompt_choice"],
        "pps_probability": d["prompt_probability"],
        "logits": output.logits,
        "class_logits": class_logits[items],
        "query_ce_sum": output.losses["cross_entropy"],
        "class_ce_sum": output.losses["class"],
        "distill_loss": output.losses["distillation"],
        "total_loss": output.losses["total"],
    }
    for view in ("local", "global"):
        named[f"{view}_context_support"] = unsorted(d[f"{view}_context_support"])
        named[f"{view}_context_query"] = d[f"{view}_context_query"]
        for part in ("prototypes", "query", "distance"):
            named[f"{view}_{part}"] = d[f"{view}_{part}"]
    return named


def _gradients(gradients, norms: dict[str, float], expected: dict[str, Any]) -> dict[str, Any]:
    """Gradients under the reference's names; the norms go into `expected` as well."""
    tensors = reference.state_dict(gradients)
    ours = {f"grad/{name}": tensor for name, tensor in tensors.items()}
    for name, norm in norms.items():
        if norm is not None and name in tensors:
            expected[f"grad_norm/{name}"] = np.asarray(norm)
            ours[f"grad_norm/{name}"] = np.linalg.norm(tensors[name])
    return ours
