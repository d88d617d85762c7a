"""One experiment: the encoder, the method and the data, and how they work together."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdmf_jax import methods
from mdmf_jax.config import Config
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.features import FeatureExtractor
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.evaluation.protocol import EpisodeEvaluator
from mdmf_jax.evaluation.text import class_tables
from mdmf_jax.models.clip.preprocess import normalise
from mdmf_jax.models.clip.vision import CLIPVision
from mdmf_jax.models.output import EpisodeOutput
from mdmf_jax.parts import PARTS, Dataset
from mdmf_jax.training.optimizer import make_optimizer, split_params
from mdmf_jax.training.sharding import device_mesh
from mdmf_jax.training.state import StateMaker, TrainState
from mdmf_jax.training.steps import TrainStep, make_train_step
from mdmf_jax.weights.huggingface import LoadedCLIP, demo_clip_path, load_clip

# Values of clip.path that stand for a CLIP that comes with this package.
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
        self._vision = CLIPVision(clip.config)
        self._width = clip.config.projection_dim
        self._method = methods.build(config.method, config.head, self._width)
        self._optimizer = make_optimizer(config.train.learning_rate)
        self._make_state = StateMaker(
            self._init_head,
            {name: clip.params[name] for name in _VISION},
            self._optimizer,
            freeze=config.train.freeze,
            mesh=self.mesh,
        )
        self.dataset = Dataset(config)
        names = {part: self.dataset.prompt_names(part) for part in PARTS}
        self._text = class_tables(clip, names, config.clip.prompt)
        self._extract = FeatureExtractor(self.encode, self.mesh, workers=config.data.workers)
        self._evaluate = EpisodeEvaluator(self.head, self.mesh, config.eval.chunk)
        self._features: dict[str, np.ndarray] = {}

    def encode(self, params: Any, frames: jax.Array) -> jax.Array:
        """Features of uint8 frames. [N, H, W, 3] -> [N, D]."""
        pixels = normalise(frames, self.config.clip.normalise)
        return self._vision.apply({"params": params}, pixels)

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
        """The jitted step (state, batch) -> (state, metrics); see `make_train_step`."""
        step = make_train_step(
            self.encode,
            self.head,
            self._optimizer,
            freeze=self.config.train.freeze,
            mesh=self.mesh,
            shardings=self._make_state.shardings,
        )
        table, key = jnp.asarray(self._text["train"]), self._key("training")
        names = ("support", "query", "query_labels", "class_ids")
        return lambda state, batch: step(state, {n: batch[n] for n in names}, table, key)

    def evaluate(self, params: Mapping[str, Any], part: str, **task: int) -> dict[str, Any]:
        """Metrics of parameters on the first episodes of a part; see `episode_metrics`.

        Args:
          task: way, shot, queries (of each class), episodes and seed.

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
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(answers, table) of the first episodes of a part; see `EpisodeEvaluator`.

        Two experiments with the same videos get the same episodes.

        Raises:
          DataError: too few classes or videos, or a video that cannot be read.
        """
        table = self.dataset.episodes(part, way, shot, queries, episodes, seed)
        key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(part.encode()))
        features = self.features(params["encoder"], part)
        return self._evaluate(params["head"], features, self._text[part], table, key), table

    def features(self, encoder_params: Any, part: str) -> np.ndarray:
        """Features of all videos of a part [V, T, D]; kept if the encoder is frozen."""
        if part in self._features:
            return self._features[part]
        count = self.dataset.splits[part].num_videos
        features = self._extract(
            encoder_params, lambda video: self.dataset.test_clip(part, video), count
        )
        if self._encoder_frozen():
            self._features[part] = features
        return features

    def _encoder_frozen(self) -> bool:
        trained, _ = split_params(self.abstract_state.params, self.config.train.freeze)
        return "encoder" not in trained

    def _init_head(self, key: jax.Array) -> Any:
        # Parameters do not depend on the numbers of classes, videos and frames.
        support = jnp.zeros((2, 1, self.config.data.frames, self._width))
        query, prompts = support[:, 0], support[:, 0, 0]
        return self._method.init({"params": key}, support, query, prompts)["params"]

    def _key(self, purpose: str) -> jax.Array:
        root = jax.random.key(self.config.seed)
        return jax.random.fold_in(root, zlib.crc32(purpose.encode()))


def _load_clip(config: Config) -> LoadedCLIP:
    path = config.clip.path
    if not path:
        raise ConfigError("clip.path is empty; set --config.clip.path to the folder of a CLIP")
    clip = load_clip(PACKAGED_CLIPS[path]() if path in PACKAGED_CLIPS else Path(path))
    if clip.config.vision.image_size != config.data.crop:
        raise ConfigError(
            f"data.crop is {config.data.crop}, but the CLIP in clip.path takes images of "
            f"{clip.config.vision.image_size} pixels"
        )
    return clip
