"""Runs Task-Adapter++ on a parity case, from pixels and token ids to gradients."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import LEGACY_EOS, CLIPConfig
from mdmf_jax.models.encoders.task_adapter_pp import TaskAdapterEncoder, TaskAdapterOptions
from mdmf_jax.models.layers.adapter import EpisodeSizes, TowerCall
from mdmf_jax.models.methods.task_adapter_pp import TaskAdapterConfig, TaskAdapterPP
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.weights import task_adapter_pp as weights

TOLERANCES = (
    ("prediction", 0.0),
    ("half/", 5e-3),
    ("semantic", 1e-4),
    ("corrected/semantic", 1e-4),
    ("logits", 1e-4),
    ("corrected/logits", 1e-4),
    ("loss", 5e-5),
    ("grad", 1e-3),
)
STEPS = {"over_time": "temporal", "over_space": "spatial", "over_videos": "task"}
# (orientation, query_group) of each form of the logits
FORMS = {
    "published": ("published", "all"),
    "transposed": ("correct", "all"),
    "corrected": ("correct", "each"),
}


class ExactEncoder(TaskAdapterEncoder):
    """Its text tower in float64, where JAX has it; float pixels as they are."""

    @property
    def text_dtype(self):
        return "float16" if self.options.half_texts else self.options.dtype

    def frames(self, videos, episode):
        """Everything wanted of videos [N, T, S, S, 3], name -> [N, T, ...]."""
        call = TowerCall(videos.shape[1], False, episode)
        found = self.vision.features(videos.reshape(-1, *videos.shape[2:]), None, call)
        return {n: x.reshape(*videos.shape[:2], *x.shape[1:]) for n, x in found.items()}


def videos(name: str, count: int, real: np.ndarray, content: dict[str, Any]) -> np.ndarray:
    """Videos [W count, T, S, S, 3], class after class."""
    case, seed = content["case"], content["seed"]
    size = case.get("image_size", 32)
    shape = (case.get("frames", 8), 3, size, size)
    noise = tensor(name, (len(real) * count, *shape), std=0.7, seed=seed)
    centres = [tensor(f"class_frames.{int(r)}", shape, seed=seed) for r in real]
    return (np.repeat(centres, count, axis=0) + noise).transpose(0, 1, 3, 4, 2)


def clip_config(tensors: dict[str, np.ndarray], case: dict[str, Any], origin: str) -> CLIPConfig:
    found = weights.clip_config(tensors, origin=origin)
    return dataclasses.replace(
        found,
        vision=dataclasses.replace(found.vision, num_attention_heads=case["image_heads"]),
        text=dataclasses.replace(
            found.text, num_attention_heads=case["text_heads"], eos_token_id=LEGACY_EOS
        ),
    )


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case; in half precision as "half/NAME"."""
    content = json.loads(settings.read_text())
    case, expected = content["case"], dict(np.load(settings.with_suffix(".npz")))
    half = case["precision"] == "half_text"
    tensors = state_dict(
        json.loads((settings.parent / content["params"]).read_text()), seed=content["seed"]
    )
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    options = TaskAdapterOptions(
        image_adapted=case["image_adapted"],
        text_adapted=case["text_adapted"],
        task_attention="both",
        devices=case["devices"],
        half_texts=half,
        dtype=precise.name,
    )
    head = TaskAdapterConfig(cross_norm=case["cross_norm"], half_cosines=half)
    clip = clip_config(tensors, case, settings.name)
    params = weights.load_state_dict(tensors, clip, options, head, origin=settings.name)
    real = expected["in/real_labels"].astype(int)
    inputs = (
        videos("support_set", case["shot"], real, content),
        videos("target_set", case["query"], real, content),
    )
    params, inputs = jax.tree.map(lambda x: jnp.asarray(x, precise), (params, inputs))
    ids = jnp.asarray(expected["in/tokens"])
    kept = np.array(content["kept_tokens"])

    def forward(params):
        return _forward(params, *inputs, ids, clip, options, head, content, kept)

    if case["mode"] == "eval":
        return _named(jax.jit(forward)(params)[1], expected, half)
    step = jax.jit(jax.value_and_grad(forward, has_aux=True))
    (_, ours), gradients = step(params)
    ours |= _gradients(gradients, content["grad_norms"], expected)
    return _named(ours, expected, half)


def _forward(params, support, query, ids, clip, options, head, content, kept):
    """(loss, arrays by the names of the case)."""
    case = content["case"]
    way, shot = case["way"], case["shot"]
    blocks, seen = clip.vision.num_hidden_layers, STEPS
    wanted = ("frames", *(f"tokens_{number}" for number in range(blocks + 1)))
    encoder = ExactEncoder(options, clip, wanted=wanted)
    leaves = {"params": params["encoder"]}
    together, inside = encoder.apply(
        leaves,
        jnp.concatenate([support, query]),
        EpisodeSizes(way, shot),
        method="frames",
        capture_intermediates=lambda module, name: name in seen,
        mutable=["intermediates"],
    )
    alone = encoder.clone(wanted=("frames",)).apply(leaves, query, None, method="frames")
    texts, in_texts = encoder.apply(
        leaves,
        ids,
        method="texts",
        capture_intermediates=lambda module, name: type(module).__name__ == "EncoderLayer",
        mutable=["intermediates"],
    )
    texts = texts.astype(support.dtype)
    supports = together["frames"][: way * shot].reshape(way, shot, *together["frames"].shape[1:])
    queries = together["frames"][way * shot :]
    scores = {
        form: _scores(params["head"], head, form, supports, frames, texts)
        for form, frames in (("transposed", queries), ("corrected", alone["frames"]))
    }
    if len(queries) == way:
        scores["published"] = _scores(params["head"], head, "published", supports, queries, texts)
    logits, found = scores["transposed"]
    ours = _tokens(together, way * shot, kept, blocks)
    first = blocks - options.image_adapted
    ours |= _inside(inside["intermediates"], first, way * shot, kept) if first < blocks else {}
    ours |= _texts(in_texts["intermediates"], ids, texts)
    ours |= {
        "support_feature": together["frames"][jnp.array([0, way * shot - 1])],
        "query_feature": queries,
        "prototype": found["prototype"],
        "query_crossed": found["crossed"],
        "visual": found["visual"],
        "semantic": found["semantic"].T,
        "corrected/visual": scores["corrected"][1]["visual"],
        "corrected/semantic": scores["corrected"][1]["semantic"],
        "corrected/logits": scores["corrected"][0],
    }
    ours |= {f"logits_{form}": scores[form][0] for form in scores}
    logits = scores[case["form"]][0]
    loss = cross_entropy(logits, jnp.repeat(jnp.arange(way), case["query"]))
    return loss, ours | {"logits": logits, "prediction": logits.argmax(-1), "loss": loss}


def _scores(params, head, form, supports, queries, texts):
    orientation, group = FORMS[form]
    options = dataclasses.replace(head, orientation=orientation, query_group=group)
    return TaskAdapterPP(options).apply(
        {"params": params}, supports, queries, texts, method="match"
    )


def _tokens(features, supports, kept, blocks):
    """Kept tokens behind each block: the first support's first frame, the last query's last."""
    found = {}
    for number in range(blocks + 1):
        tokens = features[f"tokens_{number}"]
        found[f"support_tokens/{number}"] = tokens[0, 0, kept][None]
        found[f"query_tokens/{number}"] = tokens[-1, -1, kept][None]
    return found


def _inside(seen, first, supports, kept):
    steps = seen["vision_model"]["encoder"]["layers"][str(first)]["adapter"]
    found = {}
    for name, published in STEPS.items():
        tokens = steps[name][0]
        found[f"support_first_adapted/after_{published}"] = tokens[0, 0, kept][None]
        found[f"query_first_adapted/after_{published}"] = tokens[-1, -1, kept][None]
    return found


def _texts(seen, ids, texts):
    """The texts of class 0 at their end tokens, behind each block, and all features."""
    found, ends = {"text_feature": texts}, ids[0].argmax(-1)
    for number, layer in seen["text_model"]["encoder"]["layers"].items():
        tokens = layer["__call__"][0]
        rows = jnp.arange(len(ends))
        found[f"text_end_token/{int(number) + 1}"] = tokens[rows, ends]
    return found


def _gradients(gradients, norms, expected) -> dict[str, Any]:
    """Gradients under the published names; the norms go into `expected` as well."""
    tensors = weights.state_dict(gradients)
    ours = {f"grad/{name}": tensor for name, tensor in tensors.items()}
    for name, norm in norms.items():
        if norm is not None:
            expected[f"grad_norm/{name}"] = np.asarray(norm)
            ours[f"grad_norm/{name}"] = np.linalg.norm(tensors[name])
    return ours


def _named(ours, expected, half):
    if not half:
        return ours, expected
    # Rounding decides between close classes.
    wanted = {n: x for n, x in expected.items() if n != "prediction" and not n.startswith("in/")}
    return {f"half/{n}": x for n, x in ours.items()}, {f"half/{n}": x for n, x in wanted.items()}
