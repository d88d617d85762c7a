"""Runs CLIP-MDMF on a parity case, from pixels to gradients, in the reference variant."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.mdmf import MDMF, MDMFConfig
from mdmf_jax.weights import reference
from mdmf_jax.weights.openai_sizes import vision_from_state_dict

CONDITIONS = {
    (0, 0): "none",
    (1, 0): "text",
    (0, 1): "visual",
    (1, 1): "text_and_visual",
}


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


def clip_config(weights: dict[str, np.ndarray], origin: str) -> CLIPConfig:
    """Sizes of the small image tower, from its tensors; the text tower is not used."""
    vision, features = vision_from_state_dict(weights, "backbone.", origin=origin)
    return CLIPConfig(vision, TextConfig(64, 256, 1, 1), features)


def params_file(settings: Path, case: dict[str, Any]) -> Path:
    """Names and shapes of the weights, beside the case."""
    tower = "rn50" if case.get("backbone") == "RN50" else "vit"
    depth = "" if case.get("depth", 1) == 1 else f"_depth{case['depth']}"
    return settings.parent / case.get("params", f"params_{tower}{depth}.json")


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


def frames(ids: np.ndarray, name: str, settings: dict[str, Any]) -> np.ndarray:
    """Videos [N, T, height, width, 3] of the real classes `ids`."""
    count, *image = settings["input_shapes"][name]  # frames of all videos
    shape, seed = (count // len(ids), *image), settings["seed"]
    noise = tensor(name, (len(ids), *shape), std=0.7, seed=seed)
    clips = np.stack([tensor(f"class_frames.{real}", shape, seed=seed) for real in ids])
    return (clips + noise).transpose(0, 1, 3, 4, 2)


def forced_choice(expected: dict[str, np.ndarray]) -> np.ndarray | None:
    """Prompts that the case forces; None if they are PPS's own, which ours has to find then."""
    chosen = expected["pps_class"].astype(int)
    return None if np.array_equal(chosen, expected["pps_argmax_class"]) else chosen


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case, in the case's order of videos."""
    content = _read(settings)
    case, seed = content["case"], content["seed"]
    expected = dict(np.load(settings.with_suffix(".npz")))
    weights = state_dict(_read(params_file(settings, case)), seed=seed)
    clip, method = clip_config(weights, settings.name), method_config(case)
    params = reference.load_state_dict(weights, clip, method, origin=settings.name)
    episode, mode = read_episode(expected), case["mode"].replace("eval", "test")
    table = tensor(f"text_features_{mode}", content["text_features"][mode], seed=seed)
    support = frames(episode.support_ids, "support_set", content)[episode.order]
    query = frames(episode.query_ids, "target_set", content)
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    params, support, query, table = jax.tree.map(
        lambda x: jnp.asarray(x, precise), (params, support, query, table)
    )

    def forward(params):
        # Both at once: the image tower is compiled once instead of twice.
        videos = jnp.concatenate([support, query])
        features = CLIPVision(clip, precise).apply(
            {"params": params["encoder"]}, videos.reshape(-1, *videos.shape[2:])
        )
        features = features.reshape(*videos.shape[:2], -1)
        supports, queries = features[: len(support)], features[len(support) :]
        output = MDMF(method).apply(
            {"params": params["head"]},
            {"frames": supports.reshape(episode.way, -1, *supports.shape[1:])},
            {"frames": queries},
            table[episode.class_ids],
            query_labels=episode.query_labels,
            class_ids=episode.class_ids,
            class_texts=table,
            prompt_choice=forced_choice(expected),
        )
        return output.losses["total"], (output, supports, queries)

    if case["mode"] == "eval":
        return _by_case_names(*jax.jit(forward)(params)[1], episode), expected
    (_, outputs), gradients = jax.jit(jax.value_and_grad(forward, has_aux=True))(params)
    ours = _by_case_names(*outputs, episode)
    ours |= _gradients(gradients, content["grad_norms"], expected)
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
