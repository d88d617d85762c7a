"""One episode looked into: what the views said, and how similar the frames were."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.ops.alignment import frame_costs
from mdmf_jax.ops.similarity import pairwise_cosine

_TOKENS = {"text": 0, "first_frame": 1}
_BRANCHES = ("local", "global", "plain")


def diagnoser(
    head: Callable[..., EpisodeOutput], text_token: str | None
) -> Callable[..., dict[str, Any]]:
    """A compiled function of one episode.

    Args:
      head: (params, support [W, K, T, D], query [Q, T, D], prompts [W, D], prompt_choice=) ->
        EpisodeOutput.
      text_token: what the views' text parts compare, "text" or "first_frame"; None for methods
        without two views.

    Returns:
      A function (params, support, query, prompts, prompt_choice [Q] or None) that gives
      logits [Q, W]; prompt_probability [Q, W], if there is a choice; views: by view its scores
      of the text part and of the visual part, each [Q, W]; similarity: cosines [Q, W, T, S] of
      each query's frames with every class's, by branch of the method, or "frames" of the
      frame features and the first support video.
    """

    def diagnose(params, support, query, prompts, choice):
        output = head(params, support, query, prompts, prompt_choice=choice)
        seen = output.diagnostics
        result = {"logits": output.logits, "views": {}, "similarity": {}}
        if choice is not None:
            result["prompt_probability"] = seen["prompt_probability"]
        for branch in _BRANCHES:
            if f"{branch}_prototypes" not in seen:
                continue
            queries, prototypes = seen[f"{branch}_query"], seen[f"{branch}_prototypes"]
            result["similarity"][branch] = 1 - frame_costs(queries[:, 1:], prototypes[:, 1:])
            if text_token is not None:
                token = _TOKENS[text_token]
                text = pairwise_cosine(queries[:, token], prototypes[:, token])
                result["views"][branch] = text, -seen[f"{branch}_distance"]
        if not result["similarity"]:
            result["similarity"]["frames"] = 1 - frame_costs(query, jnp.asarray(support)[:, 0])
        return result

    return jax.jit(diagnose)
