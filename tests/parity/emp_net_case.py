"""Runs EMP-Net on a parity case, from pixels and texts to gradients, as published."""

from pathlib import Path
from typing import Any

import frontier
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from mdmf_case import read_episode

from mdmf_jax.models.encoders.emp_net import EMPNetEncoder
from mdmf_jax.models.methods.emp_net import VIEWS, EMPNet, EMPNetConfig
from mdmf_jax.weights import emp_net

BLOCKS = (4, 8, 12)
SHOWN = (slice(4), slice(2))  # frames and tokens of a token field that a case holds
TOLERANCES = (
    *((f"{view}_text_probability", 2e-6) for view in VIEWS),  # they are nearly uniform
    *((f"{view}_visual_probability", 5e-5) for view in VIEWS),
    ("prediction", 5e-5),
    ("loss_", 5e-5),
)


class Case:
    """One case: sizes, parameters and inputs of its precision."""

    def __init__(self, settings: Path):
        self.content = frontier.read(settings)
        self.case = self.content["case"]
        self.expected = dict(np.load(settings.with_suffix(".npz")))
        tensors = frontier.weights(settings, self.content)
        self.clip, towers = frontier.whole_clip(tensors, "head.backbone.", settings.name)
        self.method = EMPNetConfig(
            text_rows="published",
            loss_on="probabilities",
            merge_before=self.case["merge_before"],
        )
        # A tower without one of these blocks gives its first block's input instead.
        blocks = self.case.get("layers", BLOCKS[-1])
        self.options = EMPNetEncoder.Config(blocks=tuple(b if b <= blocks else 0 for b in BLOCKS))
        params = emp_net.load_state_dict(
            frontier.own_tensors(tensors),
            self.clip,
            self.options,
            self.method,
            origin=settings.name,
        )
        self.episode = read_episode(self.expected)
        self.texts(towers)
        support = frontier.videos(self.episode.support_ids, "support_set", self.content)
        query = frontier.videos(self.episode.query_ids, "target_set", self.content)
        precise = jnp.result_type(float)  # float64 with JAX_ENABLE_X64
        self.params, self.support, self.query = jax.tree.map(
            lambda x: jnp.asarray(x, precise), (params, support[self.episode.order], query)
        )

    def texts(self, towers) -> None:
        """Token ids of both splits, and the text table in use [classes, D]."""
        names = {split: self.case[f"class_names_{split}"] for split in ("train", "test")}
        ids = {split: frontier.tokens(own) for split, own in names.items()}
        self.tables = {f"text_tokens_{split}": own for split, own in ids.items()}
        if self.case["mode"] == "train":
            chosen = ids["train"][self.case["template"]][None]
        else:
            chosen = ids["test"]
        table = frontier.text_features(self.clip, towers, chosen).mean(axis=0)
        self.tables["text_table"] = table

    def forward(self, params) -> tuple[jax.Array, dict[str, Any]]:
        """The loss, and all arrays by the names of the case."""
        episode, table = self.episode, self.tables["text_table"][:, None]
        encoder = EMPNetEncoder(self.options, self.clip).bind({"params": params["encoder"]})
        seen = encoder.from_pixels(jnp.concatenate([self.support, self.query]))
        count = len(self.support)
        views = {name: seen[name] for name in EMPNet.uses}
        supports = {n: x[:count].reshape(episode.way, -1, *x.shape[1:]) for n, x in views.items()}
        supports["place"] = jnp.asarray(episode.order).reshape(episode.way, -1)
        queries = {name: x[count:] for name, x in views.items()}
        head = EMPNet(self.method).bind({"params": params["head"]})
        output = head(
            supports,
            queries,
            table[episode.class_ids],
            query_labels=episode.query_labels,
            class_ids=episode.class_ids,
            class_texts=table,
        )
        found = self.by_case_names(seen, output) | self.fused(head, supports, queries)
        return output.losses["total"], found

    def by_case_names(self, seen, output) -> dict[str, Any]:
        back = np.argsort(self.episode.order)
        place, count, d = int(back[0]), len(back), output.diagnostics  # of the first support
        first, query = slice(place, place + 1), slice(count, count + 1)
        towers = {f"tower{block - 1}": seen[f"reading_{i}"] for i, block in enumerate(BLOCKS, 1)}
        named = {name: x[place][SHOWN] for name, x in towers.items()}
        for i in range(1, 4):
            named[f"reason{i}_support"] = seen[f"reasoned_{i}"][place][SHOWN]
        named |= {
            "reason3_target": seen["reasoned_3"][count][SHOWN],
            "token_support": seen["token_view"][first],
            "frame_support": seen["frame_view"][first],
            "frame_target": seen["frame_view"][query],
            "patch_support": seen["patch_view"][place][:, :1],
            "prediction": output.logits,
            "total_loss": output.losses["total"],
        }
        for view in VIEWS:
            text = [d[f"{view}_support_text_score"][back], d[f"{view}_text_score"]]
            named |= {
                f"distance_{view}": d[f"{view}_distance"],
                f"{view}_visual_probability": jax.nn.softmax(-d[f"{view}_distance"]),
                f"{view}_text_probability": jax.nn.softmax(jnp.concatenate(text)),
                f"loss_{view}_visual": output.losses[f"{view}_visual"],
                f"loss_{view}_text": output.losses[f"{view}_text"],
            }
        return named

    def fused(self, head, supports, queries) -> dict[str, Any]:
        """Views behind their fusion: of the first class or support, and of the first query."""
        episode, place = self.episode, int(np.argsort(self.episode.order)[0])
        table = self.tables["text_table"]
        views = {view: supports[f"{view}_view"] for view in VIEWS}
        if self.method.merge_before:
            # Of the first class; its patch at position 0 alone.
            views = {view: x[:1].mean(axis=1) for view, x in views.items()}
            texts = table[episode.class_ids[:1]]
        else:
            row, column = divmod(place, views["token"].shape[1])
            views = {view: x[row, column][None] for view, x in views.items()}
            texts = table[episode.class_ids[row]][None]
        views["patch"] = views["patch"][:, :, :1]
        own = {view: queries[f"{view}_view"][:1] for view in VIEWS}
        own["patch"] = own["patch"][:, :, :1]
        made, asked = head.fused(views, texts), head.fused(own, None)
        named = {f"fused_{view}_support": made[view] for view in VIEWS}
        return named | {"fused_frame_target": asked["frame"]}


def run(settings: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(ours, expected): arrays by the names of the case."""
    case = Case(settings)
    expected = case.expected
    if case.case["mode"] == "eval":
        return jax.jit(case.forward)(case.params)[1] | case.tables, expected
    new, tower = _divided(case.params)

    def forward(new):
        params = unflatten_dict(new | tower, sep="/")
        return case.forward(params)

    gradients, ours = jax.jit(jax.grad(forward, has_aux=True))(new)
    tensors = emp_net.state_dict(unflatten_dict(gradients, sep="/"))
    ours |= frontier.gradients(tensors, case.content, expected, "grad_norms")
    ours |= {f"grad/{name}": tensor for name, tensor in tensors.items()}
    return ours | case.tables, expected


def _divided(params) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leaves that are trained, and those of the frozen tower."""
    flat = flatten_dict(params, sep="/")
    new = {n: x for n, x in flat.items() if "adapter" in n or n.startswith("head/")}
    return new, {n: x for n, x in flat.items() if n not in new}
