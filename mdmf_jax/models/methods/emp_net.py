"""EMP-Net: six probabilities from three views of a video (Wu et al., ECCV 2024)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.reasoning import ViewBlock
from mdmf_jax.models.methods.base import FewShotMethod, flat_classes
from mdmf_jax.ops.alignment import otam_distance
from mdmf_jax.ops.losses import cross_entropy
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.ops.similarity import pairwise_cosine

VIEWS = ("token", "frame", "patch")
FIRST_SUPPORTS = 5  # that the published code looks for class texts in


@dataclass(frozen=True)
class EMPNetConfig:
    """Options of EMP-Net."""

    text_rows: str = setting(
        "corrected",
        'class texts of the text scores: those of the classes, or as "published": a class that is '
        "not among an episode's first five supports has the text of the split's first class "
        "(training alone, where the supports lie in an order drawn at random)",
        reference="published",
        choices=("corrected", "published"),
    )
    loss_on: str = setting(
        "logits",
        'what the losses take for logits: the "logits", or as published the "probabilities"',
        reference="probabilities",
        choices=("logits", "probabilities"),
    )
    merge_before: bool = setting(
        True, "average a class's shots before they are fused with its text, not after"
    )
    top_patches: int = setting(49, "patches whose cosines with a text count, the largest", min=1)
    top_frames: int = setting(2, "frames whose cosines with a text count, the largest", min=1)
    temperature: float = setting(0.5, "temperature of the alignment's soft minimum", above=0)
    bidirectional: bool = setting(True, "align query with prototype and prototype with query")


class EMPNet(FewShotMethod):
    """EMP-Net's matching of the views that its encoder makes, for one episode.

    A support's output are its views fused with its class text, by view [N, T, D] (the mean over
    patches); with `merge_before` the views themselves as well. A query's are its views fused
    with themselves, and the views, which are compared with the episode's texts.

    Random streams in training: dropout; which of a class's texts is used, and (published) the
    order of the supports.
    """

    Config: ClassVar[type] = EMPNetConfig
    published: ClassVar[Mapping[str, Any]] = {
        "encoder.normalise": "clip",
        "data.prompt_order": "by_name",
    }
    own_encoder: ClassVar[str] = "emp_net"
    uses: ClassVar[tuple[str, ...]] = tuple(f"{view}_view" for view in VIEWS)
    rngs: ClassVar[tuple[str, ...]] = ("dropout", "template")
    several_texts: ClassVar[bool] = True

    config: EMPNetConfig = EMPNetConfig()

    @classmethod
    def check(cls, options, sections, frames):
        if options.top_frames > frames:
            raise ConfigError(
                f"emp_net.top_frames is {options.top_frames}, but videos have {frames} frames "
                "(data.frames)"
            )

    def setup(self):
        self.fusion_token = ViewBlock()
        self.fusion_frame = ViewBlock()
        self.fusion_patch = ViewBlock()

    @property
    def independent_classes(self) -> bool:
        return False  # softmax over the classes

    def __call__(self, support, query, text_features, *, class_texts=None, train=False, **options):
        """As in the base. In training one of a class's texts is drawn for all of an episode.

        Args:
          support: may hold "place" [W, K], the places of the supports in the published order.
        """
        several = text_features.shape[1]
        if train and several > 1:
            drawn = jax.random.randint(self.make_rng("template"), (), 0, several)
            text_features = _one_text(text_features, drawn)
            class_texts = None if class_texts is None else _one_text(class_texts, drawn)
        if self.config.text_rows == "published" and class_texts is not None:
            rows = self._published_rows(support, text_features, class_texts, train)
            count = query["token_view"].shape[0]
            query = dict(query) | {"text_rows": jnp.broadcast_to(rows, (count, *rows.shape))}
        support = {name: support[name] for name in self.uses}
        return super().__call__(
            support, query, text_features, class_texts=class_texts, train=train, **options
        )

    def encode_support(self, features, texts, *, train: bool = False):
        views = {view: features[f"{view}_view"] for view in VIEWS}
        fused = self.fused(views, _mean_text(texts), train)
        return {"fused": fused} | ({"views": views} if self.config.merge_before else {})

    def encode_query(self, features, texts, *, train: bool = False):
        views = {view: features[f"{view}_view"] for view in VIEWS}
        rows = {name: x for name, x in features.items() if name == "text_rows"}
        return {"fused": self.fused(views, None, train), "views": views} | rows

    def outputs(self, support, query, text_features, query_texts, *, train):
        supports, queries, _ = super().outputs(
            support, query, text_features, query_texts, train=train
        )
        views = {view: flat_classes(support[f"{view}_view"]) for view in VIEWS}
        rows = query["text_rows"][0] if "text_rows" in query else _mean_text(text_features)
        scores = self._text_scores(views, rows)
        seen = {f"{view}_support_text_score": score for view, score in scores.items()}
        return supports, queries, seen

    def match(self, supports, queries, text_features, *, support_mask=None, train: bool = False):
        c = self.config
        texts = _mean_text(text_features)
        fused = supports["fused"]
        if c.merge_before and fused["token"].shape[1] != 1:  # also if it is not known (export)
            merged = {v: class_means(x, support_mask) for v, x in supports["views"].items()}
            prototypes = self.fused(merged, texts, train)
        else:
            prototypes = {v: class_means(x, support_mask) for v, x in fused.items()}
        rows = queries["text_rows"][0] if "text_rows" in queries else texts
        scores = self._text_scores(queries["views"], rows)
        found, answers = {}, []
        for view in VIEWS:
            distance = otam_distance(
                queries["fused"][view], prototypes[view], c.temperature, c.bidirectional
            )
            found |= {f"{view}_distance": distance, f"{view}_text_score": scores[view]}
            found[f"{view}_prototypes"] = prototypes[view]
            answers += [jax.nn.softmax(-distance), jax.nn.softmax(scores[view])]
        return sum(answers) / len(answers), found

    def losses(self, logits, diagnostics, query_labels, class_ids):
        d, losses = diagnostics, {}
        support = d["token_support_text_score"]
        own = jnp.arange(support.shape[1]).repeat(len(support) // support.shape[1])
        labels = jnp.concatenate([own, query_labels])
        for view in VIEWS:
            scores = [d[f"{view}_support_text_score"], d[f"{view}_text_score"]]
            visual, text = -d[f"{view}_distance"], jnp.concatenate(scores)
            if self.config.loss_on == "probabilities":
                visual, text = jax.nn.softmax(visual), jax.nn.softmax(text)
            losses[f"{view}_visual"] = cross_entropy(visual, query_labels)
            losses[f"{view}_text"] = cross_entropy(text, labels)
        return losses | {"total": sum(losses.values())}

    def fused(self, views: Mapping[str, Any], texts, train: bool = False) -> dict[str, Any]:
        """Views [N, T, ...] fused over time, with texts [N, D] if there are any: [N, T, D] each."""
        patch = jnp.swapaxes(views["patch"], 1, 2)  # [N, P, T, D]
        count, patches = patch.shape[:2]
        patch = patch.reshape(count * patches, *patch.shape[2:])
        own = None if texts is None else jnp.repeat(texts, patches, axis=0)
        patch = _over_time(self.fusion_patch, patch, own, train)
        return {
            "token": _over_time(self.fusion_token, views["token"], texts, train),
            "frame": _over_time(self.fusion_frame, views["frame"], texts, train),
            "patch": patch.reshape(count, patches, *patch.shape[1:]).mean(axis=1),
        }

    def _text_scores(self, views: Mapping[str, Any], texts) -> dict[str, Any]:
        """Cosines [N, W] of views [N, T, ...] with texts [W, D]."""
        c, patches = self.config, views["patch"].shape[2]
        if c.top_patches > patches:
            raise ConfigError(
                f"emp_net.top_patches is {c.top_patches}, but this CLIP cuts a frame into "
                f"{patches} patches: set it to {patches} or less"
            )
        by_frame = {
            view: pairwise_cosine(x, texts[None]) for view, x in views.items() if x.ndim == 3
        }
        by_patch = pairwise_cosine(views["patch"], texts[None, None]).mean(axis=1)  # [N, P, W]
        return {
            "token": by_frame["token"].mean(axis=1),
            "frame": _mean_of_largest(by_frame["frame"], c.top_frames),
            "patch": _mean_of_largest(by_patch, c.top_patches),
        }

    def _published_rows(self, support, text_features, class_texts, train: bool):
        """Class texts [W, D] as the published code takes them."""
        way, shot = support["token_view"].shape[:2]
        if "place" in support:
            places = support["place"]
        elif train:
            drawn = jax.random.permutation(self.make_rng("template"), way * shot)
            places = drawn.reshape(way, shot)
        else:
            places = jnp.zeros((way, shot), int)
        there = (places < FIRST_SUPPORTS).any(axis=1)
        return jnp.where(there[:, None], _mean_text(text_features), _mean_text(class_texts[:1]))


def _there(texts):
    """Which texts of a class are there: [W, M, D] -> [W, M]; those that are not are zeros."""
    return (texts != 0).any(axis=-1)


def _mean_text(texts):
    """Mean of the texts of each class that are there [W, M, D] -> [W, D]."""
    return texts.sum(axis=1) / jnp.maximum(_there(texts).sum(axis=1), 1)[:, None]


def _one_text(texts, number):
    """The text of this number of each class, counted around [W, M, D] -> [W, 1, D]."""
    chosen = number % jnp.maximum(_there(texts).sum(axis=1), 1)
    return jnp.take_along_axis(texts, chosen[:, None, None], axis=1)


def _over_time(block, view, texts, train: bool):
    """A view [N, T, D] through its block; texts [N, D] are added to what asks, and are asked."""
    if texts is None:
        return block(view, view, train=train)
    context = jnp.concatenate([view, texts[:, None]], axis=1)
    return block(view + texts[:, None], context, train=train)


def _mean_of_largest(scores, count: int):
    """Mean of the `count` largest scores along axis 1: [N, L, W] -> [N, W]."""
    return jax.lax.top_k(jnp.swapaxes(scores, 1, 2), count)[0].mean(axis=-1)
