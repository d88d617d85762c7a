"""Floating point operations by formula: matrix products and convolutions only.

A multiplication with the addition that follows counts as two. What is left out (LayerNorm,
softmax, activations, alignment) is below 1% in these models. XLA's own count is of no use where
a program has loops, because it counts the body of a loop once.
"""

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, VisionConfig
from mdmf_jax.models.encoders.clip.resnet import EXPANSION

# A backward pass takes two products for each one of the forward pass.
TRAINING = 3

_TCN_BLOCKS = 3  # of CLIP-MDMF's global context


def image_flops(config: CLIPConfig) -> int:
    """Operations to encode one image, the projection to D included."""
    vision = config.vision
    tower = resnet_flops(vision) if isinstance(vision, ResNetConfig) else vit_flops(vision)
    return tower + 2 * vision.hidden_size * config.projection_dim


def vit_flops(vision: VisionConfig) -> int:
    """Operations of a vision transformer for one image, without the projection to D.

    Of the last block only the class token is computed.
    """
    size, tokens = vision.hidden_size, 1 + vision.num_patches
    embedding = 2 * vision.num_patches * 3 * vision.patch_size**2 * size
    block = block_flops(tokens, tokens, size, vision.intermediate_size)
    last = block_flops(1, tokens, size, vision.intermediate_size)
    return embedding + (vision.num_hidden_layers - 1) * block + last


def block_flops(tokens: int, attended: int, size: int, hidden: int) -> int:
    """Operations of a transformer block: attention with four projections, two dense layers."""
    projections = 2 * size**2 * (2 * tokens + 2 * attended)
    attention = 2 * 2 * tokens * attended * size
    return projections + attention + 2 * 2 * tokens * size * hidden


def resnet_flops(vision: ResNetConfig) -> int:
    """Operations of CLIP's ResNet for one image, without the last layer of its pooling."""
    width, side = vision.width, vision.image_size // 2
    half = width // 2
    total = _convolution(side, 3, 3, half) + _convolution(side, 3, half, half)
    total += _convolution(side, 3, half, width)
    side, channels = side // 2, width
    for stage, blocks in enumerate(vision.layers):
        inner, outer = width * 2**stage, EXPANSION * width * 2**stage
        for block in range(blocks):
            shrinks = block == 0 and stage > 0
            total += _convolution(side, 1, channels, inner) + _convolution(side, 3, inner, inner)
            side = side // 2 if shrinks else side
            total += _convolution(side, 1, inner, outer)
            if block == 0:
                total += _convolution(side, 1, channels, outer)
            channels = outer
    cells = 1 + vision.grid**2
    # One query looks at all cells; its own projection, the keys and the values.
    return total + 2 * channels**2 * (1 + 2 * cells) + 2 * 2 * cells * channels


def _convolution(side: int, kernel: int, inward: int, outward: int) -> int:
    """Operations of a square convolution with `side` x `side` results."""
    return 2 * side**2 * kernel**2 * inward * outward


def mdmf_video_flops(frames: int, size: int, hidden: int, depth: int = 1) -> int:
    """Operations of CLIP-MDMF's head for one video: both contexts and both fusions.

    Args:
      frames, size: T and D of the features.
      hidden: feed-forward width of the fusion transformers.
      depth: their layers.
    """
    tokens = 1 + frames
    fusion = depth * block_flops(tokens, tokens, size, hidden)
    local = 2 * frames
    convolutions = local + _tcn_frames(frames)
    return convolutions * 2 * 3 * size**2 + 2 * fusion


def _tcn_frames(frames: int) -> int:
    """Frames at which the global context's convolutions are computed, all of them together.

    Only the last state is needed, so every convolution but a block's first skips every other.
    """
    total = 0
    for _ in range(_TCN_BLOCKS):
        half = -(-frames // 2)
        total += frames + half
        frames = half
    return total


def mdmf_episode_flops(videos: int, frames: int, size: int, hidden: int, depth: int = 1) -> int:
    """Operations of CLIP-MDMF's head for one episode of so many support and query videos."""
    return videos * mdmf_video_flops(frames, size, hidden, depth)
