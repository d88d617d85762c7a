"""One experiment: the encoder, the method and the data, and how they work together."""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from mdmf_jax.models.methods import registry as methods
from mdmf_jax.config.config import Config, to_dict
from mdmf_jax.data.cache_folder import default_cache
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.features.store import FeatureCache, cache_key
from mdmf_jax.evaluation.features.key import feature_content, part_content
from mdmf_jax.evaluation.features.extractor import FeatureExtractor
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.evaluation.partial import resumed
from mdmf_jax.evaluation.evaluator import EpisodeEvaluator
from mdmf_jax.evaluation.text import class_tables
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.data.dataset import Dataset, PARTS
from mdmf_jax.training import distributed
from mdmf_jax.training.optimizer import optimizer_of, split_params
from mdmf_jax.training.sharding import device_mesh, over_episodes
from mdmf_jax.training.state import StateMaker, TrainState
from mdmf_jax.training.steps import TrainStep, make_train_step
from mdmf_jax.weights.huggingface import LoadedCLIP, demo_clip_path, load_clip

# Values of encoder.path that stand for a CLIP that comes with this package.
PACKAGED_CLIPS = {"packaged:demo": demo_clip_path}

_VISION = ("vision_model", "visual_projection")


class Experiment:
    """All that a config describes. Building it reads the CLIP and finds the videos.

    Raises:
      UserError: the CLIP or the videos are missing, or do not fit each other or the config.
    """

    def __init__(self, config: Config):
        self.config = config
        self.mesh = device_mesh(config.train.episodes_per_step, config.train.model_devices)
        clip = _load_clip(config)
        self._vision = _image_tower(config, clip)
        self._width = clip.config.projection_dim
        self._method = methods.build_method(
            config.method, config.head, config.sections, self._width
        )
        self._optimizer = optimizer_of(config.train)
        self._make_state = StateMaker(
            self._init_head,
            {name: clip.params[name] for name in _VISION},
            self._optimizer,
            freeze=config.train.freeze,
            mesh=self.mesh,
            divide=config.train.shard_params,
        )
        if config.train.cached_clips and not self._encoder_frozen():
            raise ConfigError(
                f"train.cached_clips is {config.train.cached_clips}, which needs a frozen encoder; "
                "set train.freeze to ('^encoder/',) or train.cached_clips to 0"
            )
        self.dataset = Dataset(config)
        names = {part: self.dataset.prompt_names(part) for part in PARTS}
        self.class_texts = class_tables(clip, names, config.encoder.prompt)
        mesh = distributed.own_mesh(self.mesh)
        self._extract = FeatureExtractor(self.encode, mesh, workers=config.data.workers)
        self._evaluate = EpisodeEvaluator(
            self._method, mesh, config.eval.chunk, config.eval.table_gib
        )
        self._features: dict[str, np.ndarray] = {}

    def encode(self, params: Any, frames: jax.Array) -> jax.Array:
        """Features of uint8 frames, float32. [N, H, W, 3] -> [N, D]."""
        pixels = normalise(frames, self.config.encoder.normalise)
        return self._vision.apply({"params": params}, pixels).astype(jnp.float32)

    def head(self, params: Any, support, query, prompts, **options: Any) -> EpisodeOutput:
        """The method on one episode: features [W, K, T, D], [Q, T, D] and prompts [W, D]."""
        rngs = options.pop("rngs", None)
        return self._method.apply({"params": params}, support, query, prompts, rngs=rngs, **options)

    def new_state(self) -> TrainState:
        """State at step 0, a pure function of the config."""
        return self._make_state(self._key("parameters"))

    @property
    def abstract_state(self) -> TrainState:
        """Shapes and shardings of the state."""
        return self._make_state.abstract

    def train_step(self) -> TrainStep:
        """The jitted step (state, batch) -> (state, metrics); see `make_train_step`.

        It takes the batches of `train_batches`.
        """
        train = self.config.train
        step = make_train_step(
            _as_given if train.cached_clips else self.encode,
            self.head,
            self._optimizer,
            freeze=train.freeze,
            mesh=self.mesh,
            shardings=self._make_state.shardings,
            micro_batch=train.micro_batch,
            max_skipped=train.allowed_to_skip,
        )
        table, key = jnp.asarray(self.class_texts["train"]), self._key("training")
        names = ("support", "query", "query_labels", "class_ids")

        def take(state, batch):
            own = {name: batch[name] for name in names}
            spread = over_episodes(self.mesh)
            whole = distributed.global_arrays(spread, own, train.episodes_per_step)
            return step(state, whole, table, key)

        return take

    def train_batches(
        self, encoder_params: Any, start: int, stop: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Batches of the steps start+1..stop: of each, the episodes that this process takes.

        The frames of a batch are uint8, or with `train.cached_clips` features.

        Raises:
          DataError: a video cannot be read.
        """
        views, features = self.config.train.cached_clips, None
        if views:
            read, count = self.dataset.train_clips(views)
            params = distributed.on_every_process(encoder_params)
            features = self._extract(params, read, count)
            features = features.reshape(-1, views, *features.shape[1:])
        rows = distributed.own_rows(self.mesh, self.config.train.episodes_per_step)
        return self.dataset.train_batches(start, stop, rows, features)

    def evaluate(self, params: Mapping[str, Any], part: str, **task: Any) -> dict[str, Any]:
        """Metrics of parameters on the first episodes of a part; see `episode_metrics`.

        Args:
          task: way, shot, queries (of each class), episodes and seed; see `answers`.

        Raises:
          DataError: too few classes or videos, or a video that cannot be read.
        """
        answers, table = self.answers(params, part, **task)
        return episode_metrics(answers, table, self.dataset.splits[part].names)

    def answers(
        self,
        params: Mapping[str, Any],
        part: str,
        *,
        way: int,
        shot: int,
        queries: int,
        episodes: int,
        seed: int,
        partial: Path | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(answers, table) of the first episodes of a part; see `EpisodeEvaluator`.

        Two experiments with the same videos get the same episodes.

        Raises:
          DataError: too few classes or videos, or a video that cannot be read.
        """
        table = self.dataset.episodes(part, way, shot, queries, episodes, seed)
        params = distributed.on_every_process(params)
        return self.table_answers(params, part, table, seed, partial=partial), table

    def table_answers(
        self,
        params: Mapping[str, Any],
        part: str,
        table: Mapping[str, np.ndarray],
        seed: int,
        features: np.ndarray | None = None,
        partial: Path | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers to given episodes of a part; see `EpisodeEvaluator`.

        Args:
          features: of all videos of the part [V, T, D], if they are at hand.
          partial: file for the answers while they are incomplete; see `resumed`.

        Raises:
          DataError: a video cannot be read.
        """
        key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(part.encode()))
        if features is None:
            features = self.features(params["encoder"], part)
        inputs = (params["head"], features, self.class_texts[part], table, key)
        return resumed(self._evaluate, partial, *inputs) if partial else self._evaluate(*inputs)

    def features(self, encoder_params: Any, part: str) -> np.ndarray:
        """Features of all videos of a part [V, T, D], the mean over `data.test_clips`.

        Kept if the encoder is frozen. Stored on disk as `eval.feature_cache` says, but not the
        validation features of a trained encoder, which change with every checkpoint.

        Raises:
          DataError: a video cannot be read, or features cannot be stored.
        """
        if part in self._features:
            return self._features[part]
        frozen = self._encoder_frozen()
        if self.config.eval.feature_cache != "off" and (frozen or part != "val"):
            features = self.stored_features(encoder_params, part)
        else:
            count = self.dataset.splits[part].num_videos
            features = self._encoded(encoder_params, part, np.arange(count))
        if frozen:
            self._features[part] = features
        return features

    def stored_features(
        self, encoder_params: Any, part: str, shard: int = 0, shards: int = 1
    ) -> np.ndarray:
        """The same from disk, where the missing ones are added; see `FeatureCache.features`."""
        config = self.config
        folder = Path(config.eval.feature_cache or default_cache() / "features")
        content = feature_content(to_dict(config), self._vision.config, encoder_params)
        source, data = self.dataset.source(part), config.data
        videos = part_content(source, data.root, folder, data.workers)
        return FeatureCache(folder, cache_key(content | videos)).features(
            self.dataset.splits[part].num_videos,
            lambda numbers: self._encoded(encoder_params, part, numbers),
            shard,
            shards,
        )

    def _encoded(self, encoder_params: Any, part: str, videos: np.ndarray) -> np.ndarray:
        """Features of the videos with these numbers [N, T, D]."""
        views = self.dataset.test_clips

        def read(place: int) -> np.ndarray:
            return self.dataset.test_clip(part, int(videos[place // views]), place % views)

        features = self._extract(encoder_params, read, len(videos) * views)
        return features.reshape(len(videos), views, *features.shape[1:]).mean(axis=1)

    def _encoder_frozen(self) -> bool:
        trained, _ = split_params(
            self.abstract_state.params, self.config.train.freeze, may_be_all=True
        )
        return "encoder" not in trained

    def _init_head(self, key: jax.Array) -> Any:
        # Parameters do not depend on the numbers of classes, videos and frames.
        support = jnp.zeros((2, 1, self.config.data.frames, self._width))
        query, prompts = support[:, 0], support[:, 0, 0]
        # Some methods have none.
        return self._method.init({"params": key}, support, query, prompts).get("params", {})

    def _key(self, purpose: str) -> jax.Array:
        root = jax.random.key(self.config.seed)
        return jax.random.fold_in(root, zlib.crc32(purpose.encode()))


def _image_tower(config: Config, clip: LoadedCLIP) -> CLIPVision:
    # Recomputing in a loop over the blocks needs the least memory. But a loop differentiates all
    # blocks or none, so that it would undo what a partly frozen encoder saves.
    names = flatten_dict({"encoder": {name: clip.params[name] for name in _VISION}}, sep="/")
    frozen = [any(re.search(p, name) for p in config.train.freeze) for name in names]
    partly = any(frozen) and not all(frozen)
    return CLIPVision(
        clip.config,
        jnp.dtype(config.encoder.dtype),
        config.encoder.attention,
        remat=config.train.remat,
        scan=config.train.remat and not partly,
    )


def _as_given(params: Any, features: jax.Array) -> jax.Array:
    """The encoder of episodes that are features already."""
    return features


def _load_clip(config: Config) -> LoadedCLIP:
    path = config.encoder.path
    if not path:
        raise ConfigError("encoder.path is empty; set --config.encoder.path to the folder of a CLIP")
    clip = load_clip(PACKAGED_CLIPS[path]() if path in PACKAGED_CLIPS else Path(path))
    if clip.config.vision.image_size != config.data.crop:
        raise ConfigError(
            f"data.crop is {config.data.crop}, but the CLIP in encoder.path takes images of "
            f"{clip.config.vision.image_size} pixels"
        )
    return clip
