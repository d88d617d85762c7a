"""Runs CLIP-SPM on a parity case, from pixels and texts to gradients, as published."""

from operator import itemgetter
from pathlib import Path
from typing import Any

import frontier
import jax
import jax.numpy as jnp
import numpy as np
from mdmf_case import Episode, read_episode

from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.clip_spm import CLIPSPM, CLIPSPMConfig
from mdmf_jax.weights import clip_spm

LOSSES = {"cross_entropy": "query_ce_sum", "motion": "dists", "total": "total_loss"}
UNUSED = {
    f"{side}_term_{ours}": theirs.format(side)
    for side in ("query", "support")
    for ours, theirs in (
        ("prompt", "text_{}_prompt"),
        ("token", "text_{}_token"),
        ("consistency", "consist_{}"),
    )
}
TOLERANCES = (("dists", 5e-5), ("motion_query_distance", 5e-5), ("motion_support_distance", 5e-5))


def method_config(case: dict[str, Any]) -> CLIPSPMConfig:
    given = case["params"]
    return CLIPSPMConfig(
        task_pool="episode",
        shared_text="videos",
        vision_gate=given["mid_dim_vision"],
        text_gate=given["mid_dim_text"],
        slope=given["negative_slope"],
        text_share=given["alpha"],
        bidirectional=not case.get("single_direct", False),
        query_weight=1 / case["tasks_per_batch"],
        motion_weight=0.001,
    )


class Case:
    """One case: sizes, parameters and inputs of its precision."""

    def __init__(self, settings: Path):
        self.content = frontier.read(settings)
        self.case = self.content["case"]
        self.expected = dict(np.load(settings.with_suffix(".npz")))
        tensors = frontier.weights(settings, self.content)
        self.clip, towers = frontier.whole_clip(tensors, "backbone.", settings.name)
        self.method = method_config(self.case)
        params = clip_spm.load_state_dict(
            frontier.own_tensors(tensors), self.clip, None, self.method, origin=settings.name
        )
        self.episode = read_episode(self.expected)
        self.tables = self._tables(towers)
        support = frontier.videos(self.episode.support_ids, "support_set", self.content)
        query = frontier.videos(self.episode.query_ids, "target_set", self.content)
        precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
        self.params, self.support, self.query = jax.tree.map(
            lambda x: jnp.asarray(x, precise), (params, support[self.episode.order], query)
        )

    @property
    def texts(self) -> jax.Array:
        """Texts of the episode's classes [W, D]."""
        mode = self.case["mode"].replace("eval", "test")
        return self.tables[f"text_features_{mode}"][self.episode.class_ids]

    def _tables(self, params) -> dict[str, Any]:
        """Token ids and text features of both splits, by the names of the case."""
        names = [self.case[f"class_names_{split}"] for split in ("train", "test")]
        ids = frontier.tokens(names[0] + names[1])
        features = frontier.text_features(self.clip, params, ids).mean(axis=0)
        found, cut = {}, len(names[0])
        for split, part in (("train", slice(cut)), ("test", slice(cut, None))):
            found[f"text_tokens_{split}"] = ids[:, part]
            found[f"text_features_{split}"] = features[part]
        return found

    def features(self, params) -> tuple[jax.Array, jax.Array]:
        """Frame features of supports [W K, T, D], class after class, and queries [Q, T, D]."""
        norm = self.case.get("bn", "running")
        tower = CLIPVision(self.clip, self.support.dtype, batch_norm=norm)

        def encode(videos):
            flat = videos.reshape(-1, *videos.shape[2:])
            return tower.apply({"params": params}, flat).reshape(*videos.shape[:2], -1)

        if norm == "batch":  # statistics of each call
            return encode(self.support), encode(self.query)
        together = encode(jnp.concatenate([self.support, self.query]))
        return together[: len(self.support)], together[len(self.support) :]

    def forward(self, params) -> tuple[jax.Array, dict[str, Any]]:
        """Losses by the order of LOSSES, and all arrays by the names of the case."""
        episode, texts = self.episode, self.texts
        support, query = self.features(params["encoder"])
        head = CLIPSPM(self.method).bind({"params": params["head"]})
        output = head(
            {"frames": support.reshape(episode.way, -1, *support.shape[1:])},
            {"frames": query},
            texts,
            query_labels=episode.query_labels,
        )
        found = _by_case_names(head, output, support, query, texts, episode)
        return jnp.stack([output.losses[name] for name in LOSSES]), found


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case."""
    case = Case(settings)
    expected = case.expected
    if case.case["mode"] == "eval":
        return jax.jit(case.forward)(case.params)[1] | case.tables, expected
    ours, gradients = jax.jit(lambda params: _with_gradients(case, params))(case.params)
    tensors = [clip_spm.state_dict(tree) for tree in gradients]
    for name, own in zip(("_query_ce_sum", "_dists", ""), tensors, strict=True):
        ours |= frontier.gradients(own, case.content, expected, f"grad_norms{name}")
    ours |= {f"grad/{name}": tensor for name, tensor in tensors[-1].items()}
    return ours | case.tables, expected


def _with_gradients(case: Case, params) -> tuple[dict[str, Any], list[Any]]:
    """All arrays, and the gradients of the losses; the last is a sum of the others."""
    _, back, found = jax.vjp(case.forward, params, has_aux=True)
    one = jnp.eye(len(LOSSES), dtype=case.support.dtype)[:2]
    both = jax.vmap(lambda cotangent: back(cotangent)[0])(one)  # one backward pass to compile
    first, second = (jax.tree.map(itemgetter(i), both) for i in range(2))
    weights = case.method.query_weight, case.method.motion_weight
    total = jax.tree.map(lambda x, y: weights[0] * x + weights[1] * y, first, second)
    return found, [first, second, total]


def _by_case_names(
    head: CLIPSPM, output, support, query, texts, episode: Episode
) -> dict[str, Any]:
    """All arrays by the names of the case; those of videos hold the first one only."""
    d, place = output.diagnostics, int(np.argsort(episode.order)[0])  # of the first support
    own = texts[np.repeat(np.arange(episode.way), len(support) // episode.way)]
    shared = d["shared_text"][:1]
    gated, means = head.gated(support)
    prompts = head.prompts(shared, means)
    real, real_token = head.fuse(gated, own)
    first = slice(place, place + 1)
    motions = {name: head.motion(x) for name, x in (("support", support), ("query", query))}
    deep = {
        name: head.motion(head.fuse(head.gated(x)[0], motions[name])[0])
        for name, x in (("support", support), ("query", query))
    }
    tasks = d["supports"][0].reshape(support.shape)
    return {
        "support_features": support[first],
        "target_features": query[:1],
        "support_real": real[first],
        "query_fake": d["prompted"][:1],
        "support_token": prompts[first][None],
        "target_token": d["prompt"][:1][None],
        "token_support_real": real_token[first][None],
        "token_query_fake": d["token"][:1][None],
        "support_task": tasks[first],
        "query_task": d["queries"][0][:1],
        "class_tokens": d["class_tokens"][0][:1],
        "query_token": d["query_token"],
        "motion_support": motions["support"][first],
        "motion_query": motions["query"][:1],
        "motion_support_deep": deep["support"][first],
        "motion_query_deep": deep["query"][:1],
        "shared_token": shared,
        "logits": output.logits,
        **{name: d[name] for name in d if "distance" in name},
        **{case: output.losses[name] for name, case in LOSSES.items()},
        **{f"unused/{theirs}": d[name] for name, theirs in UNUSED.items()},
    }
