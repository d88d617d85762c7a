"""One episode looked into: what the views said, and how similar the frames were."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mdmf_jax.model import FewShotModel
from mdmf_jax.ops.alignment import frame_costs


def diagnoser(model: FewShotModel) -> Callable[..., dict[str, Any]]:
    """A compiled function of one episode.

    Returns:
      A function (params, support features [W, K, ...], query features [Q, ...], text features
      [W, D], prompt_choice [Q] or None) that gives logits [Q, W]; prompt_probability [Q, W], if
      there is a choice; views: by view its scores of the text part and of the visual part, each
      [Q, W]; similarity: cosines [Q, W, T, S] of each query's frames with every class's, by
      panel of the method, or "frames" of the frame features and the first support video.
    """

    def diagnose(params, support, query, text_features, choice):
        episode = {"support": support, "query": query}
        output = model.episode(params, episode, text_features, prompt_choice=choice)
        result = {"logits": output.logits, "views": {}, "similarity": {}}
        if choice is not None:
            result["prompt_probability"] = output.diagnostics["prompt_probability"]
        for name, panel in model.method.panels(output.diagnostics).items():
            result["similarity"][name] = 1 - frame_costs(panel.query, panel.prototypes)
            if panel.text is not None:
                result["views"][name] = panel.text, panel.visual
        if not result["similarity"] and "frames" in support:
            frames = jnp.asarray(support["frames"])[:, 0]
            result["similarity"]["frames"] = 1 - frame_costs(query["frames"], frames)
        return result

    return jax.jit(diagnose)
