"""What every encoder has in common: videos to features, class texts to text features."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mdmf_jax.models.layers.adapter import EpisodeSizes

# modality -> uint8 [N, T, H, W, C]; "rgb" in the ordinary case
Videos = Mapping[str, jax.Array]
# name -> [N, ...]; "frames" [N, T, D] in the ordinary case
Features = dict[str, jax.Array]


class Encoder(nn.Module):
    """Base of the encoders.

    Class attributes:
      Config: the frozen dataclass of its options.
      modalities: what it sees of a video.
      new_params: regular expression; leaves whose path matches are in no pretrained file. They
        are initialised, trained, and saved beside the pretrained ones.
      text_params: regular expression of the leaves that `texts` alone uses.
      unused_params: regular expression of leaves of the pretrained files that are not used.
      channels: of the modalities that do not have three.
      rngs: random streams that it draws from in training.
      reads: kind of pretrained files it starts from (see `weights.pretrained`); "" for none.
      has_texts: whether `texts` can be called.

    Attributes:
      options: an instance of Config.
      sizes: what the pretrained files say of their model; None without files.
      wanted: names of the features that are used; others need not be computed.
      remat: compute blocks again in the backward pass.
      breaks: see `loop_breaks`.
    """

    Config: ClassVar[type]
    modalities: ClassVar[tuple[str, ...]] = ("rgb",)
    new_params: ClassVar[str] = r"(^|/)adapter"
    text_params: ClassVar[str] = r"^text_"
    unused_params: ClassVar[str] = r"^$"
    channels: ClassVar[Mapping[str, int]] = {}
    rngs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[str] = ""
    has_texts: ClassVar[bool] = True

    options: Any
    sizes: Any = None
    wanted: tuple[str, ...] = ("frames",)
    remat: bool = False
    breaks: tuple[int, ...] = ()

    @classmethod
    def trains(cls, options: Any) -> str:
        """Regular expression of its leaves that are trained, unless `train.trained` says otherwise.

        Args:
          options: an instance of Config.
        """
        return ""

    @property
    def unit(self) -> str:
        """What is encoded at once: "video", "support" or "episode"; the options may decide.

        "video": the features of a video depend on it alone, so that they are made once and stored;
        "support": so do those of a query, but the supports of an episode are encoded together;
        "episode": all videos of an episode are.
        """
        return "video"

    @property
    def inductive(self) -> bool:
        """Whether no query of an episode changes the features of another one."""
        return True

    @property
    def width(self) -> int:
        """D of the frame and text features."""
        raise TypeError(f"{type(self).__name__} does not say its width")

    @property
    def image_size(self) -> int:
        """Side S of the frames in pixels."""
        raise TypeError(f"{type(self).__name__} does not say its image size")

    @property
    def text_length(self) -> int:
        """L, token ids of a text."""
        return 1

    @nn.nowrap
    def example(self, frames: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of two videos of so many frames, by modality."""
        side = self.image_size
        return {
            name: jax.ShapeDtypeStruct(
                (2, frames, side, side, self.channels.get(name, 3)), jnp.uint8
            )
            for name in self.modalities
        }

    def videos(
        self,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        """Features of videos, float32.

        Args:
          videos: modality -> uint8 [N, T, S, S, C].
          texts: text features of the episode's classes [W, M, D], unless the unit is "video".
          train: dropout on; needs the random streams `rngs`.
          episode: how the N videos of an episode lie, unless the unit is "video"; None for
            queries that are encoded by themselves.
        """
        raise TypeError(f"{type(self).__name__} encodes no videos")

    def texts(
        self, ids: jax.Array, mask: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Features of several texts a class, not normalised: int [C, M, L] -> [C, M, D].

        Args:
          mask: which texts are there [C, M]; the features of others mean nothing.
        """
        raise TypeError(f"{type(self).__name__} encodes no texts")

    def everything(self, videos: Videos, ids: jax.Array) -> Features:
        """Touches every parameter; what `init` calls."""
        texts = self.texts(ids) if self.has_texts else None
        sizes = None if self.unit == "video" else EpisodeSizes(1, 1)
        return self.videos(videos, None if self.unit == "video" else texts, episode=sizes)

    @nn.nowrap
    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        """All parameters at step 0, from new leaves at random and the pretrained ones.

        For encoders whose new leaves start from pretrained ones; others leave it as it is. The
        leaves of a text tower that is not trained are there as well; changes of these are lost.
        """
        return params

    @nn.nowrap
    def loop_breaks(self, patterns: Mapping[str, Any]) -> tuple[int, ...]:
        """Numbers of the blocks before which a loop over blocks has to end.

        Blocks that are trained in part can share a loop if the same leaves are trained in all.

        Args:
          patterns: path of each leaf -> whether it is trained.
        """
        return ()
