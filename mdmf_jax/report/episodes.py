"""One episode of an evaluation looked into: what each query got, and which frames matched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.experiment import Experiment
from mdmf_jax.ops.alignment import frame_costs
from mdmf_jax.ops.similarity import pairwise_cosine
from mdmf_jax.report.view_statistics import QueryViews, posterior, trusted_view

VIEWS = ("local", "global")
_TOKENS = {"text": 0, "first_frame": 1}


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
    """Reads episodes of a part one at a time; compiles once.

    Args:
      table: the episodes; see `EpisodeEvaluator`.
      answers: to these, as `Experiment.answers` gives them.
    """

    def __init__(
        self,
        experiment: Experiment,
        params: Any,
        part: str,
        table: Mapping[str, np.ndarray],
        answers: Mapping[str, np.ndarray],
    ):
        self._experiment, self._table, self._answers = experiment, table, answers
        self._head = params["head"]
        self._features = np.asarray(experiment.features(params["encoder"], part))
        self._texts = np.asarray(experiment.class_texts[part])
        self._run = jax.jit(self._diagnose)

    @cached_property
    def has_views(self) -> bool:
        """Whether the method has a local and a global view."""
        return getattr(self._experiment.config.head, "views", None) == "both"

    def read(self, place: int) -> ReadEpisode:
        """The episode at a place of the table."""
        table = self._table
        labels, answers = table["query_labels"][place], self._answers["prediction"][place]
        choice = self._answers.get("prompt_choice")
        choice = None if choice is None else choice[place]
        found = self._run(
            self._head,
            self._features[table["support"][place]],
            self._features[table["query"][place]],
            self._texts[table["class_ids"][place]],
            choice,
        )
        found = jax.tree.map(np.asarray, found)
        seen = found["views"]
        views = {view: QueryViews(*seen[view]) for view in VIEWS if view in seen}
        trusted = trusted_view(views) if views else None
        queries = []
        for q, (label, answer) in enumerate(zip(labels, answers, strict=True)):
            logits = found["logits"][q]
            posteriors = {}
            for view, scores in views.items():
                shares = posterior(scores.visual[q])
                posteriors[view] = float(shares[label]), float(shares[answer])
            probability = None
            if choice is not None:
                probability = float(found["prompt_probability"][q, choice[q]])
            queries.append(
                HardQuery(
                    label=int(label),
                    answer=int(answer),
                    gap=float(logits[answer] - logits[label]),
                    prompt=None if choice is None else int(choice[q]),
                    prompt_probability=probability,
                    trusted=None if trusted is None else str(trusted[q]),
                    posteriors=posteriors,
                    similarity={k: v[q] for k, v in found["similarity"].items()},
                )
            )
        return ReadEpisode(queries, views)

    def _diagnose(self, head, support, query, prompts, choice) -> dict[str, Any]:
        """Logits [Q, W], view scores, prompt probabilities and similarities [Q, W, T, S]."""
        output = self._experiment.head(head, support, query, prompts, prompt_choice=choice)
        seen = output.diagnostics
        result = {"logits": output.logits, "views": {}, "similarity": {}}
        if choice is not None:
            result["prompt_probability"] = seen["prompt_probability"]
        for view in (*VIEWS, "plain"):
            if f"{view}_prototypes" not in seen:
                continue
            queries, prototypes = seen[f"{view}_query"], seen[f"{view}_prototypes"]
            result["similarity"][view] = 1 - frame_costs(queries[:, 1:], prototypes[:, 1:])
            if self.has_views:
                token = _TOKENS[self._experiment.config.head.text_token]
                text = pairwise_cosine(queries[:, token], prototypes[:, token])
                result["views"][view] = text, -seen[f"{view}_distance"]
        if not result["similarity"]:
            first = jnp.asarray(support)[:, 0]
            result["similarity"]["frames"] = 1 - frame_costs(query, first)
        return result
