"""Evaluator: a model and a data set, and the answers to their episodes."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mdmf_jax import files
from mdmf_jax.config.config import Config
from mdmf_jax.data.dataset import SPLITS, Dataset
from mdmf_jax.evaluation.episodes import EpisodeEvaluator
from mdmf_jax.evaluation.features.extractor import FeatureExtractor
from mdmf_jax.evaluation.features.key import encoder_content, split_content
from mdmf_jax.evaluation.features.store import FeatureStore, cache_key
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.evaluation.partial import resumed
from mdmf_jax.evaluation.pixel_episodes import PixelEvaluator
from mdmf_jax.evaluation.text import ClassTable, class_texts
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.training import distributed
from mdmf_jax.training.sharding import device_mesh, replicated
from mdmf_jax.training.trainer import trained

Features = Mapping[str, np.ndarray]
Table = Mapping[str, np.ndarray]


class Evaluator:
    """Features of test videos, made once, and answers to episodes.

    Attributes:
      texts: class texts of all splits.
    """

    def __init__(
        self, config: Config, model: FewShotModel, dataset: Dataset, mesh: Mesh | None = None
    ):
        """Takes a model and a data set.

        Args:
          mesh: of the devices that evaluate; by default all of this process.
        """
        self.config, self.model, self.dataset = config, model, dataset
        mesh = distributed.own_mesh(mesh or device_mesh(len(jax.local_devices())))
        self._whole = replicated(mesh)
        prompt = getattr(config.encoder, "prompt", "{}")
        classes = {split: dataset.class_aliases(split) for split in SPLITS}
        texts = class_texts(config.texts, prompt, classes)
        self.texts = ClassTable(model, texts, config.texts.cut)
        workers, chunk = config.data.workers, config.eval.chunk
        self._extract = FeatureExtractor(model, mesh, workers=workers)
        self._by_episode = model.encoder.unit != "video"
        self._answer: Any = EpisodeEvaluator(model, mesh, chunk, config.eval.table_gib)
        if self._by_episode:
            self._answer = PixelEvaluator(model, mesh, chunk, workers)
        keep = trained(config)
        paths = jax.tree_util.tree_leaves_with_path(model.shapes["encoder"])
        self._frozen = not any(
            keep("encoder/" + jax.tree_util.keystr(p, simple=True, separator="/")) for p, _ in paths
        )
        self._features: dict[str, dict[str, np.ndarray]] = {}

    def evaluate(self, params: Params, split: str, **task: Any) -> dict[str, Any]:
        """Metrics of parameters on the first episodes of a split; see `episode_metrics`.

        Args:
          task: way, shot, queries (of each class), episodes and seed; see `answers`.

        Raises:
          DataError: too few classes or videos, or a video that cannot be read.
        """
        answers, table = self.answers(params, split, **task)
        return episode_metrics(answers, table, self.dataset.splits[split].names)

    def answers(
        self,
        params: Params,
        split: str,
        *,
        way: int,
        shot: int,
        queries: int,
        episodes: int,
        seed: int,
        partial: files.AnyPath | Path | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(answers, table) of the first episodes of a split; see `EpisodeEvaluator`.

        Two evaluators with the same videos get the same episodes.

        Raises:
          DataError: too few classes or videos, or a video that cannot be read.
        """
        table = self.dataset.episodes(split, way, shot, queries, episodes, seed)
        return self.table_answers(params, split, table, seed, partial=partial), table

    def table_answers(
        self,
        params: Params,
        split: str,
        table: Table,
        seed: int,
        features: Features | None = None,
        partial: files.AnyPath | Path | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers to given episodes of a split; see `EpisodeEvaluator`.

        Args:
          features: of all videos of the split, if they are at hand.
          partial: file for the answers while they are incomplete; see `resumed`.

        Raises:
          DataError: a video cannot be read.
        """
        params = self._placed(params)
        key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(split.encode()))
        texts = self.texts.features(params, split)
        if features is None:
            features = self.features(params, split)
        if self._by_episode:
            return self._answer(params, self._reader(split), texts, table, key, features)
        inputs = (params["head"], features, texts, table, key)
        return resumed(self._answer, partial, *inputs) if partial else self._answer(*inputs)

    def features(self, params: Params, split: str) -> dict[str, np.ndarray]:
        """Features of all videos of a split, name -> [V, ...], the mean over `data.test_clips`.

        Of an encoder of the unit "support" they are those of queries; one of the unit "episode"
        has none. Kept if the encoder is frozen. Stored on disk as `eval.feature_cache` says, but
        not the validation features of a trained encoder, which change with every checkpoint.

        Raises:
          DataError: a video cannot be read, or features cannot be stored.
        """
        if self.model.encoder.unit == "episode":
            return {}
        if split in self._features:
            return self._features[split]
        if self.config.eval.feature_cache != "off" and (self._frozen or split != "val"):
            features = self.stored_features(params, split)
        else:
            count = self.dataset.splits[split].num_videos
            features = self._encoded(params, split, np.arange(count))
        if self._frozen:
            self._features[split] = features
        return features

    def stored_features(
        self, params: Params, split: str, shard: int = 0, shards: int = 1
    ) -> dict[str, np.ndarray]:
        """The same from the feature store, where missing ones are added; see `FeatureStore`."""
        config = self.config
        folder = files.path(config.eval.feature_cache or files.cache_folder() / "features")
        content = encoder_content(config, self.model, params["encoder"])
        source, data = self.dataset.source(split), config.data
        videos = split_content(source, data.root, folder, data.workers)
        return FeatureStore(folder, cache_key(content | videos)).features(
            self.dataset.splits[split].num_videos,
            lambda numbers: self._encoded(params, split, numbers),
            shard,
            shards,
        )

    def train_features(self, params: Params, clips: int) -> dict[str, np.ndarray]:
        """Features of so many random clips of every training video, name -> [V, clips, ...].

        Raises:
          DataError: a video cannot be read.
        """
        read, count = self.dataset.train_clips(clips)
        features = self._extract(self._placed(params), read, count)
        return {name: x.reshape(-1, clips, *x.shape[1:]) for name, x in features.items()}

    def _reader(self, split: str):
        return lambda video: self.dataset.test_clip(split, video)

    def _encoded(self, params: Params, split: str, videos: np.ndarray) -> dict[str, np.ndarray]:
        """Features of the videos with these numbers, name -> [N, ...]."""
        clips = self.dataset.test_clips

        def read(place: int) -> Mapping[str, np.ndarray]:
            return self.dataset.test_clip(split, int(videos[place // clips]), place % clips)

        found = self._extract(self._placed(params), read, len(videos) * clips)
        return {
            name: x.reshape(len(videos), clips, *x.shape[1:]).mean(axis=1)
            for name, x in found.items()
        }

    def _placed(self, params: Params) -> Params:
        """The parameters on all devices that evaluate."""
        return jax.device_put(distributed.on_every_process(params), self._whole)
