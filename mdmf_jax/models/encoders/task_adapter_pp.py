"""Task-Adapter++: adapters in the last blocks of both CLIP towers (arXiv 2505.06002).

In an adapted image block the block's own attention looks along the frames, along the tokens of a
frame and along the videos of a call; in an adapted text block also along the texts of a class.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import ResNetConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.text import end_position
from mdmf_jax.models.encoders.options import TowerOptions
from mdmf_jax.models.layers.adapter import (
    Adapter,
    AdapterMaker,
    BlockContext,
    EmbeddingMaker,
    EpisodeSizes,
    TemporalEmbedding,
)
from mdmf_jax.models.layers.initializers import torch_bias, torch_kernel

REDUCTION = 4  # how much narrower an adapter is inside

TaskAttention = Literal["none", "support", "both"]


@dataclass(frozen=True)
class TaskAdapterOptions(TowerOptions):
    """Options of Task-Adapter++'s towers."""

    prompt: str = setting(
        "A video of action about {}", "text of a class; {} stands for its name", affects="result"
    )
    image_adapted: int = setting(
        2, "last blocks of the image tower with adapters; published for SSv2: 6", min=0
    )
    text_adapted: int = setting(
        8,
        "last blocks of the text tower with an adapter; published for SSv2: 2",
        min=0,
        affects="result",
    )
    task_attention: TaskAttention = setting(
        "support",
        'attention over videos: "support" (of the supports; a query sees itself alone), "both" '
        '(of the queries as well), "none" (each video alone, so that features are stored)',
        reference="both",
    )
    devices: int = setting(
        1,
        "cut the videos of a task attention into so many parts, as the published code's GPUs do",
        reference=3,
        min=1,
    )
    task_adapter_start: Literal["zero", "default"] = setting(
        "zero",
        'last layer of the task adapter at the start: "zero"; "default": at random, as published',
        reference="default",
        affects="result",
    )
    half_texts: bool = setting(
        False, "text tower in half precision", reference=True, affects="result"
    )


class Bottleneck(nn.Module):
    """Down to a quarter, exact GELU, up again, without a residual. [..., D] -> [..., D].

    Args:
      zero: the last layer starts at zero; otherwise as PyTorch's.
    """

    zero: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        inner = width // REDUCTION
        zeros = nn.initializers.zeros
        down = nn.Dense(inner, kernel_init=torch_kernel, bias_init=torch_bias(width), name="down")
        kernel, bias = (zeros, zeros) if self.zero else (torch_kernel, torch_bias(inner))
        up = nn.Dense(width, kernel_init=kernel, bias_init=bias, name="up")
        return up(jax.nn.gelu(down(x), approximate=False))


class VideoAdapter(Adapter):
    """Of an image block: over time, space and videos, and beside the MLP. [N, T, L, D].

    Args:
      task_attention, devices: see `TaskAdapterOptions`.
      zero_task: the task adapter's last layer starts at zero.
    """

    task_attention: TaskAttention = "support"
    devices: int = 1
    zero_task: bool = True

    def setup(self) -> None:
        self.time, self.space, self.mlp = Bottleneck(), Bottleneck(), Bottleneck()
        self.task = Bottleneck(self.zero_task)

    def around_attention(self, x, attended, context: BlockContext) -> jax.Array:
        x = self.over_time(x, context)
        x = self.over_space(x, context)
        return self.over_videos(x, context)

    def over_time(self, x: jax.Array, context: BlockContext) -> jax.Array:
        """Attention over the T frames of a video, for each token's place apart; only its adapted
        form is added."""
        y = context.attend(context.norm1(x).swapaxes(1, 2)).swapaxes(1, 2)
        return x + self.time(y)

    def over_space(self, x: jax.Array, context: BlockContext) -> jax.Array:
        """Attention over the L tokens of a frame, as in CLIP, and its adapted form."""
        y = context.attend(context.norm1(x))
        return x + y + self.space(y)

    def over_videos(self, x: jax.Array, context: BlockContext) -> jax.Array:
        """Attention over the videos of each group, for each frame and token apart; only its
        adapted form is added."""
        y, start, mixed = context.norm1(x), 0, []
        for size in self._groups(len(x), context.call.episode):
            group = jnp.moveaxis(y[start : start + size], 0, 2)  # [T, L, group, D]
            mixed.append(jnp.moveaxis(context.attend(group), 2, 0))
            start += size
        if start < len(x):
            mixed.append(context.attend(y[start:, :, :, None])[:, :, :, 0])
        return x + self.task(jnp.concatenate(mixed) if len(mixed) > 1 else mixed[0])

    def beside_mlp(self, normed, context: BlockContext) -> jax.Array:
        return self.mlp(normed)

    def _groups(self, videos: int, episode: EpisodeSizes | None) -> list[int]:
        """Sizes of the groups of videos that see each other, in order; the others are alone."""
        if self.task_attention == "none" or episode is None:
            return []
        supports = episode.way * episode.shot
        found = device_parts(supports, self.devices)
        if self.task_attention == "both":
            found += device_parts(videos - supports, self.devices)
        return found


class TextAdapter(Adapter):
    """Of a text block: after its own attention, over the texts of a class. [C, M, L, D]."""

    def setup(self) -> None:
        self.texts = Bottleneck()

    def around_attention(self, x, attended, context: BlockContext) -> jax.Array:
        x, there = attended(x), context.texts
        y = context.norm1(x).swapaxes(1, 2)  # [C, L, M, D]
        y = context.attend(y, causal=False, there=None if there is None else there[:, None])
        return x + self.texts(y.swapaxes(1, 2))


def device_parts(count: int, devices: int) -> list[int]:
    """Sizes of the consecutive parts that PyTorch's DataParallel gives to each device."""
    size = -(-count // devices)
    return [min(size, count - start) for start in range(0, count, size)] if count else []


class TaskAdapterEncoder(CLIPEncoder):
    """CLIP with the adapters of Task-Adapter++; all but those are frozen.

    Raises:
      ConfigError: more blocks are to be adapted than there are, or the CLIP has a ResNet.
    """

    Config: ClassVar[type] = TaskAdapterOptions

    @classmethod
    def trains(cls, options: Any) -> str:
        return r"(^|/)adapter"

    @property
    def unit(self) -> str:
        options = self.options
        attention = options.task_attention if options.image_adapted else "none"
        return {"none": "video", "support": "support", "both": "episode"}[attention]

    @property
    def inductive(self) -> bool:
        return self.unit != "episode"

    @property
    def text_dtype(self) -> str:
        return "float16" if self.options.half_texts else "float32"

    @nn.nowrap
    def embedding_adapter(self) -> EmbeddingMaker:
        return TemporalEmbedding

    @nn.nowrap
    def adapter(self, tower: str, block: int) -> AdapterMaker | None:
        options = self.options
        if tower == "text":
            first = self._first("text", self.sizes.text.num_hidden_layers)
            return TextAdapter if block >= first else None
        if isinstance(self.sizes.vision, ResNetConfig):
            return None  # its tower refuses the temporal embedding
        if block < self._first("image", self.sizes.vision.num_hidden_layers):
            return None
        zero = options.task_adapter_start == "zero"
        return partial(VideoAdapter, options.task_attention, options.devices, zero)

    def texts(self, ids, mask=None, *, train: bool = False) -> jax.Array:
        """As in the base. Texts of a class meet place by place, so that what stands behind the
        end token counts: id 0, as in OpenAI's tokenizer."""
        end = end_position(ids.reshape(-1, ids.shape[-1]), self.sizes.text.eos_token_id)
        behind = jnp.arange(ids.shape[-1]) > end.reshape(*ids.shape[:-1], 1)
        return super().texts(jnp.where(behind, 0, ids), mask, train=train)

    @nn.nowrap
    def _first(self, tower: str, blocks: int) -> int:
        """Number of a tower's first adapted block."""
        adapted = getattr(self.options, f"{tower}_adapted")
        if adapted > blocks:
            raise ConfigError(
                f"encoder.{tower}_adapted is {adapted}, but the {tower} tower has {blocks} blocks"
            )
        return blocks - adapted
