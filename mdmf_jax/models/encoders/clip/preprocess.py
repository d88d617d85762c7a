"""From stored frames to the image tower's input."""

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax.errors import ConfigError

# Per channel (red, green, blue), of pixels in [0, 1]; published with OpenAI's CLIP.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The same of ImageNet, with which torchvision's networks were trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

STATISTICS = {"clip": (CLIP_MEAN, CLIP_STD), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}


def normalise(pixels: jax.Array, kind: str) -> jax.Array:
    """uint8 pixels [..., 3] -> float32 [..., 3], on the device.

    "clip": scaled to [0, 1], then CLIP's mean and standard deviation per channel, as CLIP was
    trained; "imagenet": ImageNet's in their place. "none": scaled to [0, 1] only, as the
    published CLIP-MDMF code does.

    Raises:
      ConfigError: `kind` is none of them.
    """
    if kind not in (*STATISTICS, "none"):
        raise ConfigError(f"normalisation is {kind!r}; known are: {', '.join(STATISTICS)}, none")
    scaled = jnp.asarray(pixels).astype(jnp.float32) / 255.0
    if kind == "none":
        return scaled
    shape = (1,) * (scaled.ndim - 1) + (3,)
    mean, std = (np.reshape(np.asarray(x, np.float32), shape) for x in STATISTICS[kind])
    return (scaled - mean) / std
