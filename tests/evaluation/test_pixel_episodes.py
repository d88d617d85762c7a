"""Episodes from pixels: the answers of episodes from features, where the encoder allows both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from mdmf_jax.evaluation.episodes import EpisodeEvaluator
from mdmf_jax.evaluation.features.extractor import FeatureExtractor
from mdmf_jax.evaluation.pixel_episodes import PixelEvaluator
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.methods.registry import config_class
from mdmf_jax.models.model_settings import ModelSettings

WAY, SHOT, EACH, FRAMES, WIDTH, VIDEOS, CLASSES, COUNT = 3, 2, 1, 2, 16, 20, 5, 11
METHODS = {
    "otam": {"bidirectional": False},
    "clip_fsar": {"heads": 2, "hidden": 16, "bidirectional": False},
    "mdmf": {"heads": 2, "hidden": 16, "bidirectional": False, "pps_at_test": "sample"},
}


class Whole(CLIPEncoder):
    """Sees whole episodes, and looks at each video for itself."""

    @property
    def unit(self):
        return "episode"

    def videos(self, videos, texts=None, *, train=False, episode=None):
        assert episode in ((WAY, SHOT), (1, 1))  # (1, 1): nothing but the shapes is asked for
        return super().videos(videos, train=train)


class Mixing(Whole):
    """Every frame feature moves towards the mean of the episode's supports."""

    def videos(self, videos, texts=None, *, train=False, episode=None):
        frames = super().videos(videos, train=train, episode=episode)["frames"]
        supports = frames[: episode.way * episode.shot]
        return {"frames": frames + 3 * supports.mean((0, 1)) * frames[:, :1]}


class Supports(Whole):
    """Supports move towards each other; a query is looked at by itself."""

    @property
    def unit(self):
        return "support"

    def videos(self, videos, texts=None, *, train=False, episode=None):
        frames = CLIPEncoder.videos(self, videos, train=train)["frames"]
        if episode is None:
            return {"frames": frames}
        supports = frames[: episode.way * episode.shot]
        mixed = supports + 3 * supports.mean((0, 1)) * supports[:, :1]
        return {"frames": jnp.concatenate([mixed, frames[len(supports) :]])}


def mesh(data):
    types = (AxisType.Auto, AxisType.Auto)
    devices = jax.devices()[:data]
    return jax.make_mesh((data, 1), ("data", "model"), axis_types=types, devices=devices)


@pytest.fixture
def model_of(clip_folder, monkeypatch):
    """A function that makes the model of a method and an encoder by name."""
    monkeypatch.setitem(ENCODERS, "whole", Whole)
    monkeypatch.setitem(ENCODERS, "mixing", Mixing)
    monkeypatch.setitem(ENCODERS, "supports", Supports)

    def make(method, encoder="whole"):
        options, head = CLIPOptions(path=str(clip_folder)), config_class(method)(**METHODS[method])
        return FewShotModel(ModelSettings(method, head, encoder, options, FRAMES))

    return make


def read(video):
    """Frames of one colour each, which depends on the video."""
    colours = np.random.default_rng(video).integers(0, 256, (FRAMES, 1, 1, 3))
    return {"rgb": np.broadcast_to(colours, (FRAMES, 16, 16, 3)).astype(np.uint8)}


def inputs(model):
    """Parameters, class texts, episodes and key. Video v is of class v % CLASSES."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(CLASSES)[:WAY] for _ in range(COUNT)])
    places = np.stack(
        [[rng.permutation(VIDEOS // CLASSES)[: SHOT + EACH] for _ in range(WAY)] for _ in ids]
    )
    videos = ids[:, :, None] + CLASSES * places
    episodes = {
        "class_ids": ids,
        "support": videos[..., :SHOT],
        "query": videos[..., SHOT:].reshape(COUNT, -1),
        "index": np.arange(5, 5 + COUNT),
    }
    texts = (1 + 0.02 * rng.normal(size=(CLASSES, WIDTH))).astype(np.float32)
    return jax.jit(model.init)(jax.random.key(1)), texts, episodes, jax.random.key(4)


def answers(model, params, texts, episodes, key, devices=1, chunk=8, **options):
    return PixelEvaluator(model, mesh(devices), chunk, workers=2)(
        params, read, texts, episodes, key, **options
    )


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_of_single_videos_gives_the_answers_from_features(method, model_of):
    model, plain = model_of(method), model_of(method, "clip")
    params, texts, episodes, key = inputs(model)
    features = FeatureExtractor(plain, mesh(1))(params, read, VIDEOS)
    expected = EpisodeEvaluator(plain, mesh(1), 8)(params["head"], features, texts, episodes, key)
    found = answers(model, params, texts, episodes, key)
    assert found["prediction"].shape == (COUNT, WAY * EACH)
    assert len(np.unique(found["prediction"])) == WAY
    assert ("prompt_choice" in found) == (method == "mdmf")
    assert_same(found, expected)


def test_features_of_queries_that_depend_on_no_support_are_made_once(model_of):
    model = model_of("otam", "supports")
    params, texts, episodes, key = inputs(model)
    expected = answers(model, params, texts, episodes, key)
    features = FeatureExtractor(model, mesh(1))(params, read, VIDEOS)
    asked = []

    def only_supports(video):
        asked.append(video)
        return read(video)

    evaluator = PixelEvaluator(model, mesh(1), 8, workers=2)
    found = evaluator(params, only_supports, texts, episodes, key, features)
    assert_same(found, expected)
    assert set(asked) == set(episodes["support"].ravel().tolist())
    plain = answers(model_of("otam"), params, texts, episodes, key)["prediction"]
    assert (found["prediction"] != plain).any()


def test_features_that_depend_on_the_episode_are_made_in_each_episode(model_of):
    """Against one episode after the other, each on its own."""
    model = model_of("otam", "mixing")
    params, texts, episodes, key = inputs(model)
    found = answers(model, params, texts, episodes, key)["prediction"]
    one = jax.jit(lambda support, query: model.episode(
        params, {"support": {"rgb": support}, "query": {"rgb": query}}, texts[:WAY]
    ).logits.argmax(-1))  # fmt: skip
    clips = np.stack([read(video)["rgb"] for video in range(VIDEOS)])
    for row, (support, query) in enumerate(
        zip(episodes["support"], episodes["query"], strict=True)
    ):
        np.testing.assert_array_equal(found[row], one(clips[support], clips[query]))
    plain = answers(model_of("otam"), params, texts, episodes, key)["prediction"]
    assert (found != plain).any()


@pytest.mark.devices
def test_chunks_and_devices_change_nothing(model_of):
    model = model_of("mdmf")
    case = inputs(model)
    expected = answers(model, *case)
    for devices, chunk in ((1, 3), (1, 100), (4, 1)):
        assert_same(answers(model, *case, devices=devices, chunk=chunk), expected)


def test_drawn_prompts_depend_on_the_key_and_the_index_only(model_of):
    model = model_of("mdmf")
    params, texts, episodes, key = inputs(model)
    expected = answers(model, params, texts, episodes, key)
    rows = np.array([7, 2, 10, 3])
    some = {name: x[rows] for name, x in episodes.items()}
    found = answers(model, params, texts, some, key)
    assert_same(found, {name: x[rows] for name, x in expected.items()})
    renumbered = episodes | {"index": episodes["index"] + 100}
    for changed in ((renumbered, key), (episodes, jax.random.key(5))):
        other = answers(model, params, texts, *changed)
        assert (other["prompt_choice"] != expected["prompt_choice"]).any()


def test_answers_so_far_are_shown(model_of):
    model, seen = model_of("otam"), []
    case = inputs(model)
    expected = answers(model, *case, chunk=4, watch=seen.append)["prediction"]
    assert [len(found["prediction"]) for found in seen] == [4, 8, 11]
    for found in seen:
        np.testing.assert_array_equal(found["prediction"], expected[: len(found["prediction"])])
