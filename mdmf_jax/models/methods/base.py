"""What every few-shot method has in common: one episode in stages.

The stages before `match` look at one video and one text at a time. So an evaluation can run
them once for each video (and text) and use the outputs in many episodes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.ops.losses import cross_entropy


class FewShotMethod(nn.Module):
    """Base of the methods. A method defines `match`, and the other stages where it needs them.

    A tree is any nesting of arrays (None and () among them) with the same leading axes.

    Class attributes:
      Config: the frozen dataclass of its options (see `mdmf_jax.config.fields.setting`).
      sections: options that it shares with other methods, by the name of their section. The
        module has an attribute of that name.
      published: settings of other sections that its published code has and CLIP-MDMF's has not,
        by dotted name.
    """

    Config: ClassVar[type]
    sections: ClassVar[Mapping[str, type]] = {}
    published: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def check(cls, options: Any, sections: Mapping[str, Any], frames: int) -> None:
        """Raises ConfigError unless the options fit each other and videos of `frames` frames.

        Args:
          options: an instance of Config.
          sections: instances of the classes in `sections`.
        """

    @property
    def chooses_prompts(self) -> bool:
        """Whether each query is given the text of one of the episode's classes."""
        return False

    def __call__(
        self,
        support,
        query,
        prompts,
        *,
        support_mask=None,
        query_labels=None,
        class_ids=None,
        class_table=None,
        prompt_choice=None,
        train: bool = False,
    ) -> EpisodeOutput:
        """Classifies the queries of one episode.

        Args:
          support: frame features [W, K, T, D], row w belongs to class w of the episode.
          query: frame features [Q, T, D].
          prompts: text features of the episode's classes [W, D].
          support_mask: which shots are there [W, K], for classes with unequal numbers of shots.
          query_labels: class of each query, 0..W-1 [Q]; needed for losses.
          class_ids: rows of `class_table` of the episode's classes [W].
          class_table: text features of all classes of the part [C, D]; with `class_ids` it
            gives the image-text class loss of the methods that have one.
          prompt_choice: prompt of each query [Q], instead of the method's own choice.
          train: dropout on, choices drawn. Needs the rngs "dropout", "prompt" and "tuples".
        """
        texts, diagnostics = None, {}
        if self.chooses_prompts:
            scores = self.class_text_logits(query, prompts)
            choice, probability = self.choose_prompts(scores, prompt_choice, train=train)
            texts = jnp.take(prompts, choice, axis=0)
            diagnostics = {
                "prompt_choice": choice,
                "prompt_probability": probability,
                "prompt_argmax": scores.argmax(-1),
            }
        supports, queries, seen = self.outputs(support, query, prompts, texts, train=train)
        logits, matched = self.match(
            supports, queries, prompts, support_mask=support_mask, train=train
        )
        diagnostics |= seen | matched
        if class_table is not None:
            diagnostics |= self.class_scores(support, query, prompts, class_table)
        losses = {}
        if query_labels is not None:
            losses = self.losses(logits, diagnostics, query_labels, class_ids)
        return EpisodeOutput(logits, losses, diagnostics)

    def class_text_logits(self, videos, table):
        """How well each text suits each video: [N, T, D], [C, D] -> [N, C]."""
        raise NotImplementedError(f"{type(self).__name__} chooses no prompts")

    def choose_prompts(self, scores, choice=None, *, train: bool = False):
        """Prompt of each query [Q] and the probabilities [Q, W], from scores [Q, W].

        A given `choice` [Q] is kept. Drawing a choice needs the rng "prompt".
        """
        raise NotImplementedError(f"{type(self).__name__} chooses no prompts")

    def encode_support(self, videos, texts, *, train: bool = False) -> Any:
        """What `match` needs of support videos: [N, T, D], class texts [N, D] -> tree [N, ...]."""
        return videos

    def encode_query(self, videos, texts, *, train: bool = False) -> Any:
        """What `match` needs of query videos: [N, T, D] -> tree [N, ...].

        Args:
          texts: chosen prompts [N, D], if the method chooses prompts.
        """
        return videos

    def outputs(self, support, query, prompts, query_texts, *, train: bool):
        """Both outputs of an episode, trees [W, K, ...] and [Q, ...], and diagnostics."""
        way, shot, *rest = support.shape
        texts = jnp.repeat(prompts, shot, axis=0)
        supports = self.encode_support(support.reshape(-1, *rest), texts, train=train)
        queries = self.encode_query(query, query_texts, train=train)
        return split_classes(supports, way), queries, {}

    def match(self, supports, queries, prompts, *, support_mask=None, train: bool = False):
        """Logits [Q, W] and diagnostics, from trees [W, K, ...] and [Q, ...], prompts [W, D]."""
        raise NotImplementedError(f"{type(self).__name__} has no match")

    def class_scores(self, support, query, prompts, class_table) -> dict[str, Any]:
        """Diagnostics for the image-text class loss; nothing for methods without one."""
        return {}

    def losses(self, logits, diagnostics, query_labels, class_ids) -> dict[str, Any]:
        """Losses by name, among them "total"."""
        loss = cross_entropy(logits, query_labels)
        return {"cross_entropy": loss, "total": loss}


def split_classes(tree: Any, way: int) -> Any:
    """A tree [W K, ...] as [W, K, ...]."""
    return jax.tree.map(lambda x: x.reshape(way, -1, *x.shape[1:]), tree)
