"""Runs TS-FSAR on a parity case: from pixels to gradients, its start, texts and optimizer."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from mdmf_case import read_episode
from synth import state_dict, tensor

from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.ts_fsar import TSFSAREncoder
from mdmf_jax.models.methods.ts_fsar import TSFSAR, TSFSARConfig
from mdmf_jax.ops.prototypes import text_means
from mdmf_jax.ops.similarity import unit
from mdmf_jax.weights import huggingface, ts_fsar
from mdmf_jax.weights.overlay import divide, merged
from mdmf_jax.weights.table import to_params

TOLERANCES = (
    ("scores", 5e-5),
    ("log_fused", 5e-5),
    ("loss/", 5e-5),
    ("correlation", 1e-4),
    ("grad", 1e-4),
    ("init_matrix/", 1e-3),
    ("init/", 1e-4),
    ("param/", 1e-3),
    ("prediction", 0.0),
    ("accuracy", 0.0),
)


class Model(NamedTuple):
    """The modules and parameters of a case, and its images and texts."""

    encoder: TSFSAREncoder
    method: TSFSAR
    params: dict[str, Any]
    videos: jax.Array  # [N, T, S, S, 3], supports first, in the case's order
    table: jax.Array  # [C, D]


def clip_config(case: dict[str, Any]) -> CLIPConfig:
    sizes = (case[n] for n in ("clip_width", "clip_mlp", "depth", "clip_heads"))
    vision = VisionConfig(*sizes, image_size=case["image_size"], patch_size=case["patch_size"])
    return CLIPConfig(vision, TextConfig(64, 256, 1, 1), case["projection"])


def encoder_options(case: dict[str, Any], dtype: Any) -> TSFSAREncoder.Config:
    learnable = case["gate"] == "learnable"
    return TSFSAREncoder.Config(
        dtype=dtype.name,
        side_width=case["side_width"],
        temporal_blocks=tuple(case["temporal_blocks"]),
        gate="learnable" if learnable else "none",
        gate_temperature=case["gate_temperature"],
        exponent=case["distance_exponent"],
        residual=case["adapter_residual"],
    )


def method_options(case: dict[str, Any]) -> TSFSARConfig:
    weights, fusion = case["weights"], case["fusion"]
    return TSFSARConfig(
        clip_scale=case["temp_clip"],
        side_scale=case["temp_side"],
        vision_exponent=fusion["vision"],
        clip_exponent=fusion["clip"],
        side_exponent=fusion["side"],
        vision_weight=weights["vision"],
        classifier_weight=weights["classifier"],
        side_weight=weights["side_text"],
        distill_weight=weights["distill"],
        distill_temperature=case["kd_temperature"],
        dropout=0.0,
    )


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case, in the case's order of videos."""
    content = json.loads(settings.read_text())
    expected = dict(np.load(settings.with_suffix(".npz")))
    weights = json.loads((settings.parent / content["params"]).read_text())
    weights = state_dict(weights, seed=content["seed"])
    kinds = {"init": _start, "text_bank": _text_bank, "optimiser": _steps}
    kind = kinds.get(content["case"]["mode"], _episode)
    return kind(content, weights, expected, settings.name)


def _model(content, weights, expected, origin) -> Model:
    case, seed = content["case"], content["seed"]
    precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
    clip, options, method = clip_config(case), encoder_options(case, precise), method_options(case)
    params = ts_fsar.load_state_dict(weights, clip, options, method, origin=origin)
    videos = []
    for part, labels in (("support_set", "support"), ("target_set", "target")):
        shape = (case["frames"], 3, case["image_size"], case["image_size"])
        ids = expected[f"in/real_{labels}_labels"].astype(int)
        noise = tensor(part, (len(ids), *shape), std=0.7, seed=seed)
        clips = [tensor(f"class_frames.{real}", shape, seed=seed) for real in ids]
        videos.append(np.stack(clips) + noise)
    mode = "test" if case["mode"] == "eval" else "train"
    table = tensor(
        f"text_features_{mode}", (case[f"{mode}_classes"], case["projection"]), seed=seed
    )
    arrays = (params, np.concatenate(videos).transpose(0, 1, 3, 4, 2), table)
    params, pixels, table = jax.tree.map(lambda x: jnp.asarray(x, precise), arrays)
    return Model(TSFSAREncoder(options, clip), TSFSAR(method), params, pixels, unit(table))


def _forward(model: Model, episode, train: bool, params, videos):
    """Output of the method, features of all videos, and what the encoder shows of itself."""
    features, seen = model.encoder.apply(
        {"params": params["encoder"]}, videos, method="from_pixels", mutable=["intermediates"]
    )
    supports = len(episode.order)
    support = {n: x[episode.order] for n, x in features.items()}
    support = {n: x.reshape(episode.way, -1, *x.shape[1:]) for n, x in support.items()}
    output = model.method.apply(
        {"params": params["head"]},
        support,
        {n: x[supports:] for n, x in features.items()},
        model.table[episode.class_ids],
        query_labels=episode.query_labels,
        class_ids=episode.class_ids,
        class_texts=model.table if train else None,
        train=train,
        rngs={"dropout": jax.random.key(0)},
    )
    return output, features, seen["intermediates"]


def _gradient(model: Model, episode, content, pick):
    """A compiled function of the parameters: ((loss, what `pick` takes), gradients)."""

    def loss(trained, frozen):
        output, features, seen = _forward(
            model, episode, True, merged(trained, frozen), model.videos
        )
        return output.losses["total"], pick(output, features, seen)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def _divided(params):
    """(trained, frozen)."""
    return divide(params, lambda path: "adapter" in path or path.startswith("head/"))


def _episode(content, weights, expected, origin):
    model, episode = _model(content, weights, expected, origin), read_episode(expected)

    def pick(output, features, seen):
        return output, _shown(content, features, seen)

    if content["case"]["mode"] == "eval":
        run = jax.jit(lambda params, videos: pick(*_forward(model, episode, False, params, videos)))
        output, shown = run(model.params, model.videos)
        ours = shown | _eval_names(output, episode, len(episode.order))
        ours["class_texts"] = model.table[episode.class_ids]
    else:
        gradient = _gradient(model, episode, content, pick)
        (_, (output, shown)), gradients = gradient(*_divided(model.params))
        ours = shown | _train_names(output, episode)
        tensors = ts_fsar.state_dict(gradients)
        ours |= {f"grad/{name}": tensor for name, tensor in tensors.items()}
        for name, size in content["grad_norms"].items():
            if size is not None and not name.endswith("k_linear.bias"):
                expected[f"grad_norm/{name}"] = np.asarray(size)
                ours[f"grad_norm/{name}"] = np.linalg.norm(tensors[name])
    if content["case"]["mode"] == "eval":
        for name in ("adapted_clip", "side_text_feature"):
            ours[name] = ours[name][len(episode.order) :]
    return ours, expected


def _shown(content, features, seen) -> dict[str, Any]:
    """Features of the encoder and what it computes on the way, for the kept frames and tokens."""
    frames, tokens = np.array(content["kept_frames"]), np.array(content["kept_tokens"])
    flat = {n: x.reshape(-1, *x.shape[2:]) for n, x in features.items() if x.ndim > 2}
    shown = {
        "clip_feature": features["frames"],
        "side_class_token": features["class_tokens"],
        "adapted_clip": features["adapted_clip"],
        "side_text_feature": features["side_text"],
        "correlation": flat["correlation"][frames],
        "correlation_mean_norm": jnp.linalg.norm(features["correlation"].mean(1), axis=-1),
        "patch_weight": seen["patch_weight"][0].reshape(len(flat["frames"]), -1)[frames],
    }
    for name, each in seen["adapter_ladder"].items():
        if isinstance(each, tuple):
            shown |= {f"{name}/{i}": x[frames][:, tokens] for i, x in enumerate(each)}
    for name, x in flat.items():
        if name.startswith("tokens_"):
            shown[f"clip_tokens/{name.removeprefix('tokens_')}"] = x[frames][:, tokens]
    return shown


def _eval_names(output, episode, supports) -> dict[str, Any]:
    d, right = output.diagnostics, episode.query_labels
    scores = {
        "vision": d["scores"],
        "text_clip": d["text_clip_logits"],
        "text_side": d["text_side_logits"],
    }
    log_fused = np.log(np.exp(np.asarray(d["log_fused"])) + 1e-8)
    prediction = np.argmax(output.logits, -1)
    return {
        **{n: d[n] for n in ("frame_similarity", "matching_matrix", "scores")},
        **{f"probability/{n}": jax.nn.softmax(x) for n, x in scores.items()},
        **{f"logits_{n}": scores[n] for n in ("text_clip", "text_side")},
        "log_fused": log_fused,
        "prediction": prediction,
        "loss/fused": -log_fused[np.arange(len(right)), right].mean(),
        "accuracy": (prediction == right).mean(),
    }


def _train_names(output, episode) -> dict[str, Any]:
    d, back = output.diagnostics, np.argsort(episode.order)
    items = np.concatenate([back, np.arange(len(back), len(d["class_logits"]))])
    return {
        **{n: d[n] for n in ("frame_similarity", "matching_matrix", "scores")},
        "logits_classifier": d["class_logits"][items],
        "logits_text_clip": d["class_clip_logits"][items],
        "logits_text_side": d["class_side_logits"][items],
        **{f"loss/{name}": value for name, value in output.losses.items()},
        "accuracy": (np.argmax(output.logits, -1) == episode.query_labels).mean(),
    }


def _start(content, weights, expected, origin):
    """Compares matrices up to the signs of their columns (or rows, where they are fewer)."""
    case = content["case"]
    precise = jnp.result_type(float)
    clip = clip_config(case)
    options = TSFSAREncoder.Config(
        dtype=precise.name, side_width=case["side_width"], temporal_blocks=()
    )
    encoder = TSFSAREncoder(options, clip)
    shapes = ts_fsar.template(clip, options, TSFSARConfig(), case["frames"], case["train_classes"])
    pretrained = {n: shapes["encoder"][n] for n in ("vision_model", "visual_projection")}
    rules = tuple(r for r in huggingface.RULES if not r.targets[0].startswith(("text", "logit")))
    pretrained = to_params(weights, rules, pretrained, origin=origin)
    side = case["image_size"]
    pixels = jnp.zeros((1, case["frames"], side, side, 3))
    new = jax.jit(lambda key: encoder.init(key, pixels, method="from_pixels"))(jax.random.key(0))
    tree = new["params"] | jax.tree.map(lambda x: jnp.asarray(x, precise), pretrained)
    head = {n: {"kernel": jnp.zeros(x["kernel"].shape)} for n, x in shapes["head"].items()}
    tensors = ts_fsar.state_dict({"encoder": jax.jit(encoder.start)(tree), "head": head})
    ours, renamed = {}, {}
    for name, value in expected.items():
        kind = "init_matrix" if value.ndim == 2 else "init"
        fresh = f"{kind}/{name.removeprefix('init/')}"
        found = tensors[name.removeprefix("init/")]
        renamed[fresh], ours[fresh] = value, _same_signs(found, value)
    return ours, renamed


def _same_signs(ours: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Ours with the sign of each column (or row, if there are fewer) as expected."""
    if ours.ndim < 2:
        return ours
    axis = 0 if ours.shape[0] >= ours.shape[1] else 1
    return ours * np.sign((ours * expected).sum(axis, keepdims=True))


def _text_bank(content, weights, expected, origin):
    case = content["case"]
    precise = jnp.result_type(float)
    text = TextConfig(
        case["width"],
        case["mlp"],
        case["layers"],
        case["heads"],
        vocab_size=case["vocab"],
        max_position_embeddings=case["context"],
        eos_token_id=case["end_token"],
    )
    clip = CLIPConfig(
        VisionConfig(8, 8, 1, 1, image_size=8, patch_size=8), text, case["projection"]
    )
    module = CLIPText(clip, precise)
    bank = content["tokens"]
    several = max(len(own) for own in bank)
    ids = np.full((len(bank), several, case["context"]), case["end_token"])
    for place, own in enumerate(bank):
        for number, sentence in enumerate(own):
            ids[place, number, : len(sentence)] = sentence
    mask = np.array([[m < len(own) for m in range(several)] for own in bank])
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.asarray(ids[:, 0]))["params"]
    rules = tuple(r for r in huggingface.RULES if r.targets[0].startswith("text"))
    params = to_params(weights, rules, shapes, origin=origin)
    params = jax.tree.map(lambda x: jnp.asarray(x, precise), params)
    found = module.apply({"params": params}, ids.reshape(-1, case["context"]))
    found = found.reshape(*mask.shape, -1)
    return {"class_table": text_means(found, mask, normed=True)}, expected


def _steps(content, weights, expected, origin):
    """Three steps; what parameters moved is compared relative to their largest change.

    Where a gradient is about as small as Adam's epsilon, its rounding noise is a visible part of
    a step. So the optimizer is fed with the case's gradients, where there are some. Ours are
    compared for all steps together: a gradient that has become small is as noisy as before.
    Its steps are in float64: one is not much larger than the rounding of what it moves.
    """
    model, episode = _model(content, weights, expected, origin), read_episode(expected)
    trained, frozen = _divided(model.params)
    gradient = _gradient(model, episode, content, lambda *_: None)
    start, ours, given = ts_fsar.state_dict(trained), {}, []
    count = sum(name.startswith("loss/step") for name in expected)
    for step in range(count):
        (ours[f"loss/step{step}"], _), gradients = gradient(trained, frozen)
        tensors, prefix = ts_fsar.state_dict(gradients), f"grad/step{step}/"
        ours |= {prefix + name: x for name, x in tensors.items()}
        given.append({name: expected.get(prefix + name, x) for name, x in tensors.items()})
        moved = _moved(start, given, content["optimiser"])
        ours |= {f"param/after{step + 1}/{name}": x - start[name] for name, x in moved.items()}
        found = to_params(moved, ts_fsar.RULES, trained, origin=origin)
        trained = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), trained, found)
    for name in [name for name in expected if name.startswith("param/")]:
        expected[name] = expected[name] - np.asarray(start[name.split("/", 2)[2]])
    return _together(ours, count), _together(expected, count)


def _together(arrays: dict[str, Any], steps: int) -> dict[str, Any]:
    """The gradients of all steps as one array each."""
    names = [n.removeprefix("grad/step0/") for n in arrays if n.startswith("grad/step0/")]
    stacked = {
        f"grad/{name}": np.stack([arrays[f"grad/step{i}/{name}"] for i in range(steps)])
        for name in names
    }
    return {n: x for n, x in arrays.items() if not n.startswith("grad/step")} | stacked


def _moved(start, gradients, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Tensors after one step for each dict of gradients: AdamW with a rate for each group, which
    follows a cosine one step late."""
    total, (b1, b2) = settings["total_steps"], settings["betas"]

    def adam(base):
        def rate(step):
            return base * (1 + jnp.cos(jnp.pi * jnp.maximum(step - 1, 0) / total)) / 2

        return optax.adamw(rate, b1, b2, settings["eps"], weight_decay=settings["weight_decay"])

    groups = {name: _group(name) for name in start}
    with jax.enable_x64(True):
        start, gradients = jax.tree.map(lambda x: jnp.asarray(x, float), (start, gradients))
        bases = {name: adam(base) for name, base in settings["base"].items()}
        optimizer = optax.multi_transform(bases, groups)
        state = optimizer.init(start)
        for each in gradients:
            updates, state = optimizer.update(each, state, start)
            start = optax.apply_updates(start, updates)
        return jax.tree.map(np.asarray, start)


def _group(name: str) -> str:
    """The published groups: by substring, the first that matches."""
    places = {"Linear": "head", "up_l": "head", "side": "side", "generator": "generator"}
    return next((group for part, group in places.items() if part in name), "adapter")
