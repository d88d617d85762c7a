"""What growth costs: an adapter encoder, a method with two modalities and an encoder that sees
whole episodes, each defined here alone, go through everything without a file of the package
knowing them."""

import dataclasses
import io
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from rich.console import Console

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.config.fields import setting
from mdmf_jax.data.videos.modalities import MODALITIES
from mdmf_jax.data.videos.modality import Modality
from mdmf_jax.evaluation.task import Task
from mdmf_jax.export.load_exported import load_exported
from mdmf_jax.export.writer import export_path
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.layers.adapter import Adapter
from mdmf_jax.models.layers.dropout import Dropout
from mdmf_jax.models.methods.base import FewShotMethod
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.ops.prototypes import class_means
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run, train_and_evaluate
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints


class Bottleneck(Adapter):
    """Along the frames (or texts) of each token: down, mixed with the one before, up."""

    rank: int = 2
    rate: float = 0.0

    @nn.compact
    def after_block(self, x, context):
        inner = nn.Dense(self.rank)(x)
        inner = nn.gelu(inner + jnp.roll(inner, 1, axis=1))
        inner = Dropout(self.rate)(inner, train=context.train)
        return x + nn.Dense(x.shape[-1], kernel_init=nn.initializers.normal(0.1))(inner)


class TemporalAdapterEncoder(CLIPEncoder):
    """Adapters in every block of the image tower, and in the text tower's last."""

    @dataclass(frozen=True)
    class Config(CLIPEncoder.Config):
        rank: int = setting(2, "inner width of the adapters", min=1)
        scale: float = setting(1.0, "factor of the features; changes no parameter")

    rngs: ClassVar = ("dropout",)

    @nn.nowrap
    def adapter(self, tower, block):
        rate = 0.1 if tower == "image" else 0.0
        return partial(Bottleneck, self.options.rank, rate)

    def videos(self, videos, texts=None, **options):
        found = super().videos(videos, texts, **options)
        return {name: self.options.scale * x for name, x in found.items()}


class Change(Modality):
    """Differences of neighbouring frames, as grey levels around 128 in one channel."""

    def frames(self, source, video, numbers, rgb):
        grey = rgb.mean(axis=-1, keepdims=True)
        change = np.diff(grey, axis=0, append=grey[-1:])
        return np.clip(128 + change / 2, 0, 255).astype(np.uint8)

    def mirror(self, frames):
        return frames[:, :, ::-1]


class TwoStreams(CLIPEncoder):
    """CLIP's frame features, and the mean change of each frame in a grid of four."""

    modalities: ClassVar = ("rgb", "change")
    channels: ClassVar = {"change": 1}

    def videos(self, videos, texts=None, **options):
        found = super().videos(videos, texts, **options)
        change = videos["change"].astype(jnp.float32) / 128 - 1
        side = change.shape[2] // 2
        cells = change.reshape(*change.shape[:2], 2, side, 2, side).mean((3, 5))
        return found | {"change": cells.reshape(*change.shape[:2], 4)}


class TwoModalities(FewShotMethod):
    """Distances to the class means of both features, with a learned weight for each."""

    @dataclass(frozen=True)
    class Config:
        dropout: float = setting(0.0, "dropout of the frame features", min=0, below=1)

    uses: ClassVar = ("frames", "change")
    config: Config = Config()

    @property
    def needs_texts(self):
        return False

    def setup(self):
        self.weights = self.param("weights", nn.initializers.ones, (2,))

    def encode_support(self, features, texts, *, train=False):
        return {name: features[name].mean(1) for name in self.uses}

    def encode_query(self, features, texts, *, train=False):
        return self.encode_support(features, texts, train=train)

    def match(self, supports, queries, text_features, *, support_mask=None, train=False):
        logits = 0.0
        for weight, name in zip(self.weights, self.uses, strict=True):
            means = class_means(supports[name], support_mask)
            logits -= weight * jnp.square(queries[name][:, None] - means).mean(-1)
        return logits, {}


class TaskEncoder(CLIPEncoder):
    """Each frame feature moves towards the mean of the episode's supports, by a learned share."""

    @property
    def unit(self):
        return "episode"

    def setup(self):
        super().setup()
        self.adapter_share = self.param("adapter_share", nn.initializers.constant(0.1), ())

    def videos(self, videos, texts=None, *, train=False, episode=None):
        frames = super().videos(videos, train=train)["frames"]
        supports = frames[: episode.way * episode.shot] if episode else frames
        mean = supports.mean((0, 1))
        words = 0.0 if texts is None else texts.mean((0, 1))
        return {"frames": frames + self.adapter_share * (mean + words)}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENCODERS, "temporal", TemporalAdapterEncoder)
    monkeypatch.setitem(ENCODERS, "two_streams", TwoStreams)
    monkeypatch.setitem(ENCODERS, "task", TaskEncoder)
    monkeypatch.setitem(METHODS, "two_modalities", TwoModalities)
    monkeypatch.setitem(MODALITIES, "change", Change())


TOYS = {
    "temporal": "encoder=temporal,method=mdmf",
    "two_streams": "encoder=two_streams,method=two_modalities",
    "task": "encoder=task,method=otam",
}


def config_of(name, tiny, tmp_path, **changes):
    settings = get_config(TOYS[name])
    store = {"eval.feature_cache": str(tmp_path / "store"), "eval.shots": (1,)}
    settings.update_from_flattened_dict(tiny | store | {"eval.untrained": False} | changes)
    return from_config_dict(settings)


def train(config, folder):
    return train_and_evaluate(config, folder, Console(file=io.StringIO()))


def final_params(config, folder, step=4):
    run = make_run(config)
    with Checkpoints(folder / FOLDER) as checkpoints:
        return jax.device_get(checkpoints.restore(step, run.trainer.abstract_state).params)


@pytest.mark.parametrize("name", TOYS)
def test_train_resume_and_evaluate(name, tiny, tmp_path):
    config = config_of(name, tiny, tmp_path)
    results, history = train(config, tmp_path / "whole")
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2))
    _, first = train(half, tmp_path / "run")
    again, second = train(config, tmp_path / "run")
    assert first + second == history and [row["step"] for row in second] == [3, 4]
    assert again["test"] == results["test"]
    one, other = (final_params(config, tmp_path / folder) for folder in ("whole", "run"))
    jax.tree.map(np.testing.assert_array_equal, one, other)

    start = make_run(config).trainer.new_state().params
    flat, trained = (flatten_dict(jax.device_get(p), sep="/") for p in (start, one))
    new = [path for path in flat if "adapter" in path]
    assert bool(new) == (name != "two_streams")
    moved = {path for path in flat if np.abs(flat[path] - trained[path]).max() > 0}
    assert set(new) <= moved  # also those of the text tower
    assert not any(path.startswith("encoder/text_") and "adapter" not in path for path in flat)

    found = evaluate(
        Task(episodes=7), checkpoint=tmp_path / "run", console=Console(file=io.StringIO())
    )
    assert found["episodes"] == 7
    stored = list((tmp_path / "store").glob("*/*.features"))
    assert bool(stored) == (name != "task")


@pytest.mark.parametrize("name", [pytest.param("temporal", marks=pytest.mark.slow), "two_streams"])
def test_fit_save_load_and_export(name, tiny, videos, tmp_path):
    train(config_of(name, tiny, tmp_path), tmp_path / "run")
    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    expected = fitted.predict_proba(asked)
    fitted.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(asked), expected)
    labels = sorted(path.name for path in (videos / "test").iterdir())
    # A class learnt after loading needs the text tower with its new leaves.
    loaded.remove_class(labels[0])
    loaded.add_class(labels[0], sorted((videos / "test" / labels[0]).glob("*.mp4")))
    order = [fitted.classes_.index(label) for label in loaded.classes_]
    logits = loaded.calibrate(videos / "test").predict_proba(asked)
    assert logits.argmax(1).tolist() == expected[:, order].argmax(1).tolist()

    jaxtyping.config.update("jaxtyping_disable", True)  # it cannot read sizes left open
    try:
        export_path(tmp_path / "model", tmp_path / "exported")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    exported = load_exported(tmp_path / "exported")
    reader = fitted._reader
    clips = [reader.read(path).clips for path in asked]
    together = {key: np.stack([clip[key][0] for clip in clips]) for key in clips[0]}
    found = exported.predict_proba(together if name == "two_streams" else together["rgb"])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_stored_features_follow_an_option_that_changes_no_parameter(tiny, tmp_path):
    features = []
    for scale in (1.0, 2.0, 1.0):
        run = make_run(config_of("temporal", tiny, tmp_path, **{"encoder.scale": scale}))
        params = run.trainer.new_state().params
        features.append(run.evaluator.features(params, "test")["frames"])
    np.testing.assert_allclose(features[1], 2 * features[0], rtol=1e-6)
    np.testing.assert_array_equal(features[2], features[0])


def test_an_encoder_of_whole_episodes_is_not_for_single_videos(tiny, videos, tmp_path):
    from mdmf_jax.errors import ConfigError

    train(config_of("task", tiny, tmp_path), tmp_path / "run")
    with pytest.raises(ConfigError, match="task sees whole episodes"):
        FewShotClassifier.from_pretrained(tmp_path / "run")
