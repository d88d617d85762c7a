"""FewShotModel: the one place where an encoder and a method meet."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.base import Encoder, Features, Videos
from mdmf_jax.models.encoders.registry import build_encoder, encoder_class
from mdmf_jax.models.layers.adapter import EpisodeSizes
from mdmf_jax.models.methods.base import FewShotMethod, flat_classes, joined, parted, split_classes
from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.models.methods.registry import build_method
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.ops.prototypes import text_means
from mdmf_jax.weights.overlay import divide, merged, overlay
from mdmf_jax.weights.pretrained import Pretrained, load_pretrained

Params = dict[str, Any]
Rngs = dict[str, Any] | None  # random stream -> key
# trained(path of a leaf, "encoder/..." or "head/...") -> whether training changes it
Trained = Callable[[str], bool]


class FewShotModel:
    """An encoder, a method, and the functions of both.

    Parameters are {"encoder": ..., "head": ...}. The pretrained text tower is not among them,
    unless it is trained: it lies in `fixed`. Every function is pure and may be compiled.

    Attributes:
      settings: see `ModelSettings`.
      encoder, method: the modules.
      pretrained: what the encoder starts from; None for encoders without files.
      fixed: leaves of the encoder that are never trained, arrays on the host.
      start: the other pretrained leaves, which `init` lays over random ones.
    """

    def __init__(
        self,
        settings: ModelSettings,
        pretrained: Pretrained | None = None,
        *,
        remat: bool = False,
        trained: Trained | None = None,
    ):
        """Reads the encoder's files, unless they are given.

        Args:
          remat: encoder blocks are computed again in the backward pass, in loops where the
            leaves that are trained allow it.
          trained: which leaves are trained; all by default.

        Raises:
          UserError: an option or the files are wrong, or do not fit each other.
        """
        kind = encoder_class(settings.encoder_name)
        if pretrained is None and kind.reads:
            pretrained = load_pretrained(kind.reads, settings.encoder.path)
        self.settings, self.pretrained = settings, pretrained
        sizes = pretrained.config if pretrained else None
        encoder = build_encoder(settings.encoder_name, settings.encoder, sizes, remat=remat)
        self.method: FewShotMethod = build_method(
            settings.method, settings.head, settings.sections, encoder.width
        )
        self._check_texts(encoder)
        encoder = encoder.clone(wanted=tuple(self.method.uses))
        if remat and trained is not None:
            paths = flatten_dict(self._leaves(encoder), sep="/")
            breaks = encoder.loop_breaks({path: trained(f"encoder/{path}") for path in paths})
            encoder = encoder.clone(breaks=breaks)
        self.encoder: Encoder = encoder
        self._check_features()
        given = dict(pretrained.params) if pretrained else {}
        _, given = divide(given, lambda path: bool(re.search(encoder.unused_params, path)))
        self.fixed, self.start = divide(given, self._is_fixed)

    @property
    def width(self) -> int:
        """D of text features."""
        return self.encoder.width

    @property
    def inductive(self) -> bool:
        """Whether a query's answer does not depend on the other queries of the episode."""
        return self.encoder.inductive and self.method.inductive

    def init(self, key: jax.Array, pretrained: Params | None = None) -> Params:
        """Parameters at step 0: all leaves at random, the pretrained ones laid over them.

        Args:
          pretrained: leaves of the encoder, by default `start`.

        Raises:
          WeightsError: a leaf is missing, unknown or misshapen; only those that
            `Encoder.new_params` names may be missing.
        """
        _, made = divide(self._init_encoder(self.encoder, key), self._is_fixed)
        if self.encoder.reads:
            given = self.start if pretrained is None else pretrained
            made = overlay(made, given, self.encoder.new_params)
        started = self.encoder.start(merged(made, self.fixed))
        return {"encoder": divide(started, self._is_fixed)[1], "head": self.init_head(key)}

    def init_head(self, key: jax.Array) -> Params:
        """The method's parameters at step 0; needs no parameters of the encoder."""
        # Parameters do not depend on the numbers of an episode's classes and videos.
        query = {n: jnp.zeros((2, *x.shape), x.dtype) for n, x in self.feature_shapes.items()}
        support = {name: x[:, None] for name, x in query.items()}
        several = (1,) if self.method.several_texts else ()
        classes = max(2, self.settings.train_classes)
        texts = jnp.zeros((classes, *several, self.width))
        ids = jnp.arange(2)
        known = {"class_ids": ids, "class_texts": texts}
        return _init(self.method, key, support, query, texts[ids], **known)

    @cached_property
    def shapes(self) -> Params:
        """Parameters as shapes; allocates nothing."""
        return jax.eval_shape(self.init, jax.random.key(0), jax.eval_shape(lambda: self.start))

    @cached_property
    def feature_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the features of one video, without the axis N."""
        encode = lambda encoder, videos, texts: self.encode(  # noqa: E731
            {"encoder": encoder}, videos, texts, episode=EpisodeSizes(1, 1)
        )
        texts = jax.ShapeDtypeStruct((1, 1, self.width), jnp.float32)
        leaves = self._leaves(self.encoder)
        found = jax.eval_shape(encode, leaves, self.encoder.example(self.settings.frames), texts)
        return {n: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for n, x in found.items()}

    def text_trained(self, trained: Trained) -> bool:
        """Whether training changes the class texts."""
        pattern = self.encoder.text_params
        paths = flatten_dict(self.shapes["encoder"], sep="/")
        return any(re.search(pattern, path) and trained(f"encoder/{path}") for path in paths)

    def encode(
        self,
        params: Params,
        videos: Videos,
        texts: jax.Array | None = None,
        *,
        train: bool = False,
        rngs: Rngs = None,
        episode: EpisodeSizes | None = None,
    ) -> Features:
        """Features of videos by name, float32 [N, ...]; see `Encoder.videos`."""
        options: dict[str, Any] = {"train": train, "episode": episode, "rngs": rngs}
        return _apply(self.encoder, params["encoder"], videos, texts, method="videos", **options)

    def token_ids(
        self, texts: Sequence[Sequence[str]], *, cut: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Token ids int32 [C, M, L] of the texts of C classes, and which are there [C, M].

        Args:
          cut: texts that are too long lose their end; without it they are an error.

        Raises:
          UserError: a text is too long.
        """
        several = max((len(own) for own in texts), default=1)
        length = self.encoder.text_length
        mask = np.array([[m < len(own) for m in range(several)] for own in texts], bool)
        if not self.encoder.has_texts or self.pretrained is None:
            return np.zeros((len(texts), several, length), np.int32), mask
        filled = [own[m] if m < len(own) else own[0] for own in texts for m in range(several)]
        options = {"cut": True} if cut else {}
        ids = np.asarray(self.pretrained.tokenizer(filled, length, **options), np.int32)
        return ids.reshape(len(texts), several, length), mask

    def class_texts(
        self,
        params: Params,
        ids: jax.Array | np.ndarray,
        mask: jax.Array | np.ndarray | None = None,
        *,
        fixed: Params | None = None,
        train: bool = False,
        rngs: Rngs = None,
    ) -> jax.Array:
        """Text features of classes: int [C, M, L] -> [C, D], the mean over a class's texts (see
        `text_means`); or [C, M, D] if the method takes several, zeros where a class has fewer.

        Args:
          mask: which texts are there [C, M].
          fixed: the leaves of `self.fixed`, so that a compiled program need not hold them.
        """
        if not self.encoder.has_texts:
            return jnp.zeros((len(ids), self.width))
        leaves = merged(params["encoder"], self.fixed if fixed is None else fixed)
        options: dict[str, Any] = {"train": train, "rngs": rngs}
        found = _apply(self.encoder, leaves, ids, mask, method="texts", **options)
        if self.method.several_texts:
            return found if mask is None else jnp.where(mask[..., None], found, 0)
        return text_means(found, mask, normed=self.method.normed_texts)

    def episode(
        self,
        params: Params,
        episode: Mapping[str, Any],
        class_texts: jax.Array,
        *,
        train: bool = False,
        rngs: Rngs = None,
        prompt_choice: jax.Array | None = None,
    ) -> EpisodeOutput:
        """One episode, from pixels or from features.

        Args:
          episode: support [W, K, ...] and query [Q, ...], each videos by modality or features
            by name (supports alone may be videos); support_mask [W, K], query_labels [Q] and
            class_ids [W], where there are.
          class_texts: of the classes of the split [C, D], if there are class_ids, else of the
            episode's classes [W, D].
          prompt_choice: see `FewShotMethod`.
        """
        support, query = dict(episode["support"]), dict(episode["query"])
        ids, labels = episode.get("class_ids"), episode.get("query_labels")
        texts = class_texts if ids is None else class_texts[ids]
        if support.keys() == set(self.encoder.modalities):
            features = self._encode_episode(params, support, query, texts, train, rngs)
            support, query = features
        return _apply(
            self.method,
            params["head"],
            support,
            query,
            texts,
            support_mask=episode.get("support_mask"),
            query_labels=labels,
            class_ids=ids,
            class_texts=None if ids is None or labels is None else class_texts,
            prompt_choice=prompt_choice,
            train=train,
            rngs=rngs,
        )

    def stage(self, name: str) -> Callable[..., Any]:
        """A stage as a function of (params, ...): one source for evaluation, use and export.

        "encode" (videos) and "class_texts" (ids, mask, fixed=) are the functions of these names;
        "class_text_logits", "choose_prompts", "encode_support", "encode_query" and "match" are
        those of the method, whose random streams may be given as `rngs`.
        """
        if name in ("encode", "class_texts"):
            return getattr(self, name)

        def run(params: Params, *arguments: Any, rngs: Rngs = None, **options: Any) -> Any:
            return _apply(
                self.method, params["head"], *arguments, method=name, rngs=rngs, **options
            )

        return run

    def _encode_episode(self, params, support, query, texts, train, rngs):
        """Features of an episode's videos, (supports [W, K, ...], queries [Q, ...]).

        The queries may be features already.
        """
        way, shot = next(iter(support.values())).shape[:2]
        sizes = None if self.encoder.unit == "video" else EpisodeSizes(way, shot)
        own = (texts[:, None] if texts.ndim == 2 else texts) if sizes else None
        encode = partial(self.encode, params, texts=own, train=train, rngs=rngs, episode=sizes)
        if query.keys() == support.keys():
            return parted(encode(joined(support, query)), way, shot)
        return split_classes(encode(flat_classes(support)), way), query

    def _check_texts(self, encoder: Encoder) -> None:
        if self.method.needs_texts and not encoder.has_texts:
            raise ConfigError(
                f"{self.settings.method} needs class texts, but the encoder "
                f"{self.settings.encoder_name} has none; take a method that needs no texts"
            )

    def _check_features(self) -> None:
        missing = sorted(set(self.encoder.wanted) - self.feature_shapes.keys())
        if missing:
            names, made = ", ".join(missing), ", ".join(sorted(self.feature_shapes))
            raise ConfigError(
                f"{self.settings.method} needs the features {names}, which the encoder "
                f"{self.settings.encoder_name} does not make; it makes {made}"
            )

    def _is_fixed(self, path: str) -> bool:
        """Whether a leaf of the encoder belongs to the pretrained text tower and stays."""
        if getattr(self.settings.encoder, "train_texts", False):
            return False
        new = re.search(self.encoder.new_params, path)
        return bool(re.search(self.encoder.text_params, path)) and not new

    def _init_encoder(self, encoder: Encoder, key: jax.Array) -> Params:
        ids = jnp.zeros((1, 1, encoder.text_length), jnp.int32)
        videos = {
            name: jnp.zeros(x.shape, x.dtype)
            for name, x in encoder.example(self.settings.frames).items()
        }
        return _init(encoder, key, videos, ids, method="everything")

    def _leaves(self, encoder: Encoder) -> Params:
        """All parameters of an encoder as shapes."""
        return jax.eval_shape(lambda key: self._init_encoder(encoder, key), jax.random.key(0))


def _apply(module: nn.Module, params: Params, *arguments: Any, **options: Any) -> Any:
    return module.apply({"params": params}, *arguments, **options)


def _init(module: nn.Module, key: jax.Array, *arguments: Any, **options: Any) -> Params:
    made: Any = module.init({"params": key}, *arguments, **options)
    return made.get("params", {})  # some modules have none
