"""Mutual distillation of the local and the global view (CLIP-MDMF).

For each query the view that is more confident teaches the other one. Confidence is the
highest class probability, in the text part, in the visual part, or in both.
"""

from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mdmf_jax.ops.arrays import AnyArray

DIRECTIONS = ("both", "local_to_global", "global_to_local")
CONDITIONS = ("text_and_visual", "text", "visual", "none")


class ViewScores(NamedTuple):
    """Class scores (logits) of one view: of its text part and of its visual part."""

    text: Float[AnyArray, "Q W"]
    visual: Float[AnyArray, "Q W"]

    def confidence(self) -> tuple[Float[Array, "Q"], Float[Array, "Q"]]:
        """Highest class probability in the text part and in the visual part."""
        return jax.nn.softmax(self.text).max(-1), jax.nn.softmax(self.visual).max(-1)


def kl_divergence(
    teacher: Float[AnyArray, "Q W"], student: Float[AnyArray, "Q W"]
) -> Float[Array, "Q"]:
    """KL(softmax(teacher) || softmax(student)) over the classes."""
    log_teacher = jax.nn.log_softmax(teacher)
    return jnp.sum(jnp.exp(log_teacher) * (log_teacher - jax.nn.log_softmax(student)), axis=-1)


def reliable_view(
    local: ViewScores, global_: ViewScores, condition: str
) -> tuple[Bool[Array, "Q"], Bool[Array, "Q"]]:
    """For each query: is the local view the teacher, is the global view the teacher.

    Args:
      local: scores of the local view.
      global_: scores of the global view.
      condition: "text" or "visual": the view with the higher confidence in that part teaches
        (ties go to local); "text_and_visual": the view that leads in both, so a query can be
        in neither group.
    """
    (local_text, local_visual), (global_text, global_visual) = (
        local.confidence(),
        global_.confidence(),
    )
    by_text, by_visual = local_text >= global_text, local_visual >= global_visual
    if condition == "text":
        return by_text, ~by_text
    if condition == "visual":
        return by_visual, ~by_visual
    if condition == "text_and_visual":
        return by_text & by_visual, ~by_text & ~by_visual
    raise ValueError(f"condition={condition!r}: use one of {', '.join(CONDITIONS)}")


def _taught(
    teacher: ViewScores, student: ViewScores, group: AnyArray | None, teacher_gradient: bool
) -> Float[Array, ""]:
    """Divergence of student from teacher: confidence-weighted mean over `group`, or a sum."""
    if not teacher_gradient:
        teacher = jax.lax.stop_gradient(teacher)
    divergence = kl_divergence(teacher.visual, student.visual)
    if group is None:
        return divergence.sum()
    weights = jnp.where(group, sum(teacher.confidence()), 0.0)
    total = weights.sum()
    return jnp.sum(weights * divergence) / jnp.where(total > 0, total, 1.0)


def mutual_distillation(
    local: ViewScores,
    global_: ViewScores,
    *,
    direction: str = "both",
    condition: str = "text_and_visual",
    teacher_gradient: bool = False,
) -> Float[Array, ""]:
    """Distillation loss of one episode.

    Args:
      local: scores of the local view (the published code's "up" branch).
      global_: scores of the global view ("down").
      direction: "local_to_global" (local teaches), "global_to_local" or "both".
      condition: which queries a view teaches, see `reliable_view`; "none" takes all queries
        and sums over them instead of averaging, as the published code does.
      teacher_gradient: let the gradient reach the teacher and the weights, as published.

    A group without queries adds zero.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction={direction!r}: use one of {', '.join(DIRECTIONS)}")
    if condition == "none":
        local_leads = global_leads = None
    else:
        local_leads, global_leads = reliable_view(local, global_, condition)
    taught = []
    if direction != "global_to_local":
        taught.append(_taught(local, global_, local_leads, teacher_gradient))
    if direction != "local_to_global":
        taught.append(_taught(global_, local, global_leads, teacher_gradient))
    return reduce(add, taught)
