"""What every few-shot method has in common: one episode in stages.

The stages before `match` look at one video and one text at a time. So an evaluation can run
them once for each video (and text) and use the outputs in many episodes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.encoders.base import Features
from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.models.methods.panel import Panel
from mdmf_jax.ops.losses import cross_entropy


class FewShotMethod(nn.Module):
    """Base of the methods. A method defines `match`, and the other stages where it needs them.

    Features are dictionaries name -> array; those that a method does not use may be missing. A
    tree is any nesting of arrays (None and () among them) with the same leading axes.

    Class attributes:
      Config: the frozen dataclass of its options (see `mdmf_jax.config.fields.setting`).
      sections: options that it shares with other methods, by the name of their section. The
        module has an attribute of that name.
      published: settings of other sections that its published code has and CLIP-MDMF's has not,
        by dotted name.
      own_encoder: the encoder that a config of this method has, unless it names another.
      uses: names of the features that it reads.
      rngs: random streams that it draws from in training.
      several_texts: it takes all texts of a class, [W, M, D], with zeros for those that are not
        there; otherwise their mean, [W, D].
      normed_texts: that mean is one of texts of norm 1, and has norm 1 itself.
    """

    Config: ClassVar[type]
    sections: ClassVar[Mapping[str, type]] = {}
    published: ClassVar[Mapping[str, Any]] = {}
    own_encoder: ClassVar[str] = "clip"
    uses: ClassVar[tuple[str, ...]] = ("frames",)
    rngs: ClassVar[tuple[str, ...]] = ("dropout",)
    several_texts: ClassVar[bool] = False
    normed_texts: ClassVar[bool] = False

    @classmethod
    def check(cls, options: Any, sections: Mapping[str, Any], frames: int) -> None:
        """Raises ConfigError unless the options fit each other and videos of `frames` frames.

        Args:
          options: an instance of Config.
          sections: instances of the classes in `sections`.
        """

    @property
    def inductive(self) -> bool:
        """Whether a query's answer does not depend on the other queries of the episode."""
        return True

    @property
    def needs_texts(self) -> bool:
        """Whether its answers depend on the class texts."""
        return True

    @property
    def chooses_prompts(self) -> bool:
        """Whether each query is given the text of one of the episode's classes."""
        return False

    @property
    def independent_classes(self) -> bool:
        """Whether the logit of a class depends on that class and the query only."""
        return getattr(self.config, "at_test", "plain") == "plain"

    @property
    def gives_probabilities(self) -> bool:
        """Whether what it calls logits are probabilities over the classes."""
        return not self.independent_classes

    def __call__(
        self,
        support: Features,
        query: Features,
        text_features,
        *,
        support_mask=None,
        query_labels=None,
        class_ids=None,
        class_texts=None,
        prompt_choice=None,
        train: bool = False,
    ) -> EpisodeOutput:
        """Classifies the queries of one episode.

        Args:
          support: features [W, K, ...] by name, row w belongs to class w of the episode.
          query: features [Q, ...] by name.
          text_features: of the episode's classes [W, D].
          support_mask: which shots are there [W, K], for classes with unequal numbers of shots.
          query_labels: class of each query, 0..W-1 [Q]; needed for losses.
          class_ids: rows of `class_texts` of the episode's classes [W].
          class_texts: text features of all classes of the split [C, D]; with `class_ids` they
            give the image-text class loss of the methods that have one.
          prompt_choice: text of each query [Q], instead of the method's own choice.
          train: dropout on, choices drawn. Needs the random streams `rngs`.
        """
        texts, diagnostics = None, {}
        if self.chooses_prompts:
            scores = self.class_text_logits(query, text_features)
            choice, probability = self.choose_prompts(scores, prompt_choice, train=train)
            texts = jnp.take(text_features, choice, axis=0)
            diagnostics = {
                "prompt_choice": choice,
                "prompt_probability": probability,
                "prompt_argmax": scores.argmax(-1),
            }
        supports, queries, seen = self.outputs(support, query, text_features, texts, train=train)
        logits, matched = self.match(
            supports, queries, text_features, support_mask=support_mask, train=train
        )
        diagnostics |= seen | matched
        if class_texts is not None:
            diagnostics |= self.class_scores(
                support, query, text_features, class_texts, train=train
            )
        losses = {}
        if query_labels is not None:
            losses = self.losses(logits, diagnostics, query_labels, class_ids)
        return EpisodeOutput(logits, losses, diagnostics)

    def class_text_logits(self, features: Features, table):
        """How well each text suits each video: features [N, ...], [C, D] -> [N, C]."""
        raise TypeError(f"{type(self).__name__} chooses no prompts")

    def choose_prompts(self, scores, choice=None, *, train: bool = False):
        """Text of each query [Q] and the probabilities [Q, W], from scores [Q, W].

        A given `choice` [Q] is kept. Drawing a choice needs the random stream "prompt".
        """
        raise TypeError(f"{type(self).__name__} chooses no prompts")

    def encode_support(self, features: Features, texts, *, train: bool = False) -> Any:
        """What `match` needs of support videos: [N, ...], class texts [N, D] -> tree [N, ...]."""
        return features["frames"]

    def encode_query(self, features: Features, texts, *, train: bool = False) -> Any:
        """What `match` needs of query videos: [N, ...] -> tree [N, ...].

        Args:
          texts: chosen texts [N, D], if the method chooses prompts.
        """
        return features["frames"]

    def outputs(self, support: Features, query: Features, text_features, query_texts, *, train):
        """Both outputs of an episode, trees [W, K, ...] and [Q, ...], and diagnostics."""
        way, shot = jax.tree.leaves(support)[0].shape[:2]
        texts = jnp.repeat(text_features, shot, axis=0)
        supports = self.encode_support(flat_classes(support), texts, train=train)
        queries = self.encode_query(query, query_texts, train=train)
        return split_classes(supports, way), queries, {}

    def match(
        self, supports, queries, text_features, *, support_mask=None, train: bool = False
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Logits [Q, W] and diagnostics, from trees [W, K, ...], [Q, ...] and texts [W, D]."""
        raise TypeError(f"{type(self).__name__} has no match")

    def class_scores(
        self, support, query, text_features, class_texts, *, train: bool = False
    ) -> dict[str, Any]:
        """Diagnostics for the image-text class loss; nothing for methods without one."""
        return {}

    def losses(self, logits, diagnostics, query_labels, class_ids) -> dict[str, Any]:
        """Losses by name, among them "total"."""
        loss = cross_entropy(logits, query_labels)
        return {"cross_entropy": loss, "total": loss}

    def panels(self, diagnostics: Mapping[str, Any]) -> dict[str, Panel]:
        """What a report may show of an episode's diagnostics, by name; several are views."""
        return {}


def flat_classes(tree: Any) -> Any:
    """A tree [W, K, ...] as [W K, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def split_classes(tree: Any, way: int) -> Any:
    """A tree [W K, ...] as [W, K, ...]."""
    return jax.tree.map(lambda x: x.reshape(way, -1, *x.shape[1:]), tree)


def joined(support: Features, query: Features) -> Features:
    """Features of all videos of an episode [W K + Q, ...], supports first."""
    return jax.tree.map(lambda s, q: jnp.concatenate([s, q]), flat_classes(support), dict(query))


def parted(tree: Any, way: int, shot: int) -> tuple[Any, Any]:
    """A tree of all videos of an episode as (supports [W, K, ...], queries [Q, ...])."""
    supports = jax.tree.map(lambda x: x[: way * shot], tree)
    return split_classes(supports, way), jax.tree.map(lambda x: x[way * shot :], tree)
