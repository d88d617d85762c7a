"""Sizes of the demo's small CLIP, and the losses it is trained with."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.preprocess import normalise

LENGTH = 24  # tokens of a caption, start and end included
KEPT = 4  # frames that vote, as in CLIP-MDMF's prompt selector
# Pairs of frames, of eight, that lie in the first half of a video, and in the second.
EARLIER, LATER = np.array([0, 1, 0, 5, 6, 5]), np.array([1, 2, 2, 6, 7, 7])


def clip_config(vocab_size: int, image_size: int = 32) -> CLIPConfig:
    """About 0.6 million parameters; 16 MFLOP per image."""
    return CLIPConfig(
        VisionConfig(96, 384, 4, 3, image_size=image_size, patch_size=8),
        TextConfig(
            64,
            256,
            2,
            4,
            vocab_size=vocab_size,
            max_position_embeddings=LENGTH,
            eos_token_id=vocab_size - 1,
        ),
        projection_dim=128,
    )


class Reader(nn.Module):
    """Reads motions from pairs of frame features; thrown away after training.

    [B, 8, D] -> a video feature [B, D] and the motion's logits of each pair [B, 6, motions].
    """

    motions: int

    @nn.compact
    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = features.shape[-1]
        x = nn.LayerNorm()(features)
        before, after = x[:, EARLIER], x[:, LATER]  # [B, 6, D]
        pairs = jnp.concatenate([before, after, after - before], axis=-1)
        hidden = nn.gelu(nn.Dense(256)(pairs))
        halves = hidden.reshape(-1, 2, 3, 256).mean(axis=2).reshape(-1, 512)
        return nn.Dense(size)(halves), nn.Dense(self.motions)(hidden)


def unit(x: jax.Array) -> jax.Array:
    """Vectors of length 1 along the last axis."""
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def prompt_score(frames: jax.Array, texts: jax.Array) -> jax.Array:
    """Mean cosine of the KEPT frames nearest to each text. [B, T, D], [C, D] -> [B, C]."""
    cosines = jnp.einsum("btd,cd->bct", unit(frames), unit(texts))
    return jax.lax.top_k(cosines, KEPT)[0].mean(axis=-1)


def losses(params, model: CLIP, reader: Reader, pixels, labels, halves, ids, caption_weight):
    """The sum of three losses, and its parts and two accuracies.

    Args:
      pixels: uint8 [B, 8, S, S, 3]; labels: class [B]; halves: motion of each half [B, 2].
      ids: a caption of each class, int [C, LENGTH].
      caption_weight: of the two losses that compare with whole captions.
    """
    batch, frames = pixels.shape[:2]
    flat = normalise(pixels.reshape(-1, *pixels.shape[2:]), "clip")
    clip = {"params": params["clip"]}
    features = model.apply(clip, flat, method="encode_image").reshape(batch, frames, -1)
    texts = model.apply(clip, ids, method="encode_text")
    video, motions = reader.apply({"params": params["reader"]}, features)
    of_pairs = jnp.repeat(halves, 3, axis=1)  # [B, 6]
    scale = jnp.exp(params["clip"]["logit_scale"])
    by_frames = scale * prompt_score(features, texts)
    by_video = scale * unit(video) @ unit(texts).T
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    parts = {
        "frames": cross_entropy(by_frames, labels).mean(),
        "video": cross_entropy(by_video, labels).mean(),
        "motions": cross_entropy(motions, of_pairs).mean(),
    }
    total = parts["motions"] + caption_weight * (parts["frames"] + parts["video"])
    accuracy = {
        "motion_accuracy": (motions.argmax(-1) == of_pairs).mean(),
        "frames_accuracy": (by_frames.argmax(-1) == labels).mean(),
        "video_accuracy": (by_video.argmax(-1) == labels).mean(),
    }
    return total, parts | accuracy
