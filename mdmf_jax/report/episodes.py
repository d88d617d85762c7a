"""One episode of an evaluation looked into: what each query got, and which frames matched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from mdmf_jax.evaluation.diagnosis import diagnoser
from mdmf_jax.evaluation.opened import Opened
from mdmf_jax.report.view_statistics import QueryViews, posterior, trusted_view

VIEWS = ("local", "global")


@dataclass(frozen=True)
class HardQuery:
    """A query; classes are those of the episode, 0..W-1.

    Attributes:
      label, answer: its class and the method's answer.
      gap: how far the logit of the answer lies above that of its class.
      prompt, prompt_probability: text it was given; None for methods without prompts.
      trusted: the view whose posterior stands out; None without two views.
      posteriors: of its class and of the answer, by view.
      similarity: by view, or "frames": cosines of its frames with those of every class's
        prototype (or of its first support video) [W, T, S].
    """

    label: int
    answer: int
    gap: float
    prompt: int | None
    prompt_probability: float | None
    trusted: str | None
    posteriors: Mapping[str, tuple[float, float]]
    similarity: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ReadEpisode:
    """An episode's queries, and by view their scores (none without two views)."""

    queries: Sequence[HardQuery]
    views: Mapping[str, QueryViews]


class EpisodeReader:
    """Reads episodes of a split one at a time; compiles once.

    Args:
      table: the episodes; see `EpisodeEvaluator`.
      answers: to these, as `Evaluator.answers` gives them.
    """

    def __init__(
        self,
        opened: Opened,
        split: str,
        table: Mapping[str, np.ndarray],
        answers: Mapping[str, np.ndarray],
    ):
        self._options, self._table, self._answers = opened.config.head, table, answers
        self._params = {"head": opened.params["head"]}
        self._features = opened.evaluator.features(opened.params, split)
        self._texts = opened.evaluator.texts.features(opened.params, split)
        self._run = diagnoser(opened.model)

    @cached_property
    def has_views(self) -> bool:
        """Whether the method has a local and a global view."""
        return getattr(self._options, "views", None) == "both"

    def read(self, place: int) -> ReadEpisode:
        """The episode at a place of the table."""
        table = self._table
        labels, answers = table["query_labels"][place], self._answers["prediction"][place]
        choice = self._answers.get("prompt_choice")
        choice = None if choice is None else choice[place]
        found = self._run(
            self._params,
            {name: x[table["support"][place]] for name, x in self._features.items()},
            {name: x[table["query"][place]] for name, x in self._features.items()},
            self._texts[table["class_ids"][place]],
            choice,
        )
        found = jax.tree.map(np.asarray, found)
        seen = found["views"]
        views = {view: QueryViews(*seen[view]) for view in VIEWS if view in seen}
        trusted = trusted_view(views) if views else None
        queries = [
            _query(q, found, views, trusted, choice, int(label), int(answer))
            for q, (label, answer) in enumerate(zip(labels, answers, strict=True))
        ]
        return ReadEpisode(queries, views)


def _query(q: int, found, views, trusted, choice, label: int, answer: int) -> HardQuery:
    logits, posteriors = found["logits"][q], {}
    for view, scores in views.items():
        shares = posterior(scores.visual[q])
        posteriors[view] = float(shares[label]), float(shares[answer])
    given = None if choice is None else int(choice[q])
    return HardQuery(
        label=label,
        answer=answer,
        gap=float(logits[answer] - logits[label]),
        prompt=given,
        prompt_probability=None if given is None else float(found["prompt_probability"][q, given]),
        trusted=None if trusted is None else str(trusted[q]),
        posteriors=posteriors,
        similarity={branch: cosines[q] for branch, cosines in found["similarity"].items()},
    )
