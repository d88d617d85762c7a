"""Frame filter and probability prompt selector (PPS) of CLIP-MDMF.

The frames of a video that agree best with a class text speak for the video. For each query
PPS turns the agreement with the texts of the episode's classes into probabilities and
selects one text as the query's prompt.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mdmf_jax.ops.arrays import AnyArray
from mdmf_jax.ops.similarity import pairwise_cosine

TEMPERATURE = 200.0


def best_frames(
    features: Float[AnyArray, "*batch T D"], scores: Float[AnyArray, "*batch T"], count: int
) -> Float[Array, "*batch count D"]:
    """The `count` frames with the highest scores, in temporal order."""
    chosen = jnp.sort(jax.lax.top_k(scores, count)[1], axis=-1)
    return jnp.take_along_axis(features, chosen[..., None], axis=-2)


def frame_agreement(
    features: Float[AnyArray, "Q T D"], prompts: Float[AnyArray, "W D"]
) -> Float[Array, "Q W T"]:
    """Cosine of every frame of every query with every class text."""
    return jnp.swapaxes(pairwise_cosine(features, prompts[None]), -1, -2)


def class_agreement(agreement: Float[AnyArray, "Q W T"], count: int) -> Float[Array, "Q W"]:
    """Mean agreement of the `count` best frames."""
    return jax.lax.top_k(agreement, count)[0].mean(axis=-1)


def prompt_probability(
    agreement: Float[AnyArray, "Q W"], temperature: float = TEMPERATURE
) -> Float[Array, "Q W"]:
    """Probability of each class text as prompt: softmax(temperature * agreement)."""
    return jax.nn.softmax(temperature * agreement, axis=-1)


def select_prompt(
    probability: Float[AnyArray, "Q W"], key: PRNGKeyArray | None = None
) -> Int[Array, "Q"]:
    """Index of the prompt of each query: drawn from `probability`, or arg max without a key."""
    if key is None:
        return jnp.argmax(probability, axis=-1)
    return jax.random.categorical(key, jnp.log(probability), axis=-1)
