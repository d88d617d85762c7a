"""Training from cached features: the episodes, the settings, and what a frozen block costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.data.episodes.drawing import sample_episode
from mdmf_jax.data.episodes.feature_episodes import FeatureEpisodes
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision
from mdmf_jax.runs.train import make_run
from mdmf_jax.training.optimizer import join_params, split_params

VIEWS = 4


@pytest.fixture
def settings_cached(settings):
    settings.train.cached_clips, settings.train.freeze = VIEWS, ("^encoder/",)
    settings.train.shard_params, settings.train.micro_batch = True, 1
    return settings


@pytest.mark.slow
def test_episodes_take_stored_clips_of_the_same_videos(settings_cached):
    run = make_run(from_config_dict(settings_cached))
    params = run.trainer.new_state().params
    batch = next(run.train_batches(params, 3, 4))
    again = next(run.train_batches(params, 3, 5))
    pixels = next(run.dataset.train_batches(3, 4))
    for name in ("query_labels", "class_ids", "index"):
        np.testing.assert_array_equal(batch[name], pixels[name])
    supports = batch["support"]["frames"]
    assert supports.shape == (8, 2, 1, 3, 16)
    np.testing.assert_array_equal(supports, again["support"]["frames"])

    read, count = run.dataset.train_clips(VIEWS)
    assert count == 12 * VIEWS
    clips = np.stack([read(number)["rgb"] for number in range(count)])
    assert len(np.unique(clips.reshape(count, -1), axis=0)) > 12  # the views differ
    stored = np.asarray(run.model.encode(params, {"rgb": clips})["frames"])
    assert stored.shape == (count, 3, 16)
    found = supports.reshape(-1, 3, 16)
    distance = np.abs(found[:, None] - stored[None]).max((2, 3))
    assert (distance.min(1) < 1e-4).all()
    videos = distance.argmin(1) // VIEWS
    np.testing.assert_array_equal(videos // 4, batch["class_ids"].reshape(-1))

    state, metrics = run.train_step(params)(run.trainer.new_state(), batch)
    assert state.step == 1 and np.isfinite(metrics["loss"])


def test_views_are_drawn_evenly_and_videos_as_elsewhere():
    videos = tuple(tuple(f"{c}/{i}" for i in range(6)) for c in "abc")
    split = Split("train", ("a", "b", "c"), ("a", "b", "c"), videos)
    video, view = np.meshgrid(np.arange(18), np.arange(VIEWS), indexing="ij")
    features = {"frames": np.stack([video, view], axis=-1)[:, :, None]}  # [V, clips, T = 1, D = 2]
    maker = FeatureEpisodes(split, features, way=2, shot=2, queries=3, seed=5)
    drawn = []
    for index in range(200):
        episode = maker.make_episode(index)
        plain = sample_episode(
            split.counts, way=2, shot=2, queries=3, seed=5, split="train", index=index
        )
        offsets = 6 * plain.classes[:, None]
        np.testing.assert_array_equal(
            episode["support"]["frames"][..., 0, 0], offsets + plain.support
        )
        expected = (offsets + plain.query).reshape(-1)
        np.testing.assert_array_equal(episode["query"]["frames"][..., 0, 0], expected)
        both = episode["support"]["frames"], episode["query"]["frames"]
        drawn += [clip for x in both for clip in x[..., 0, 1].flat]
    counts = np.bincount(drawn, minlength=VIEWS)
    assert len(counts) == VIEWS
    assert np.abs(counts / len(drawn) - 1 / VIEWS).max() < 4 * np.sqrt(3 / 16 / len(drawn))


def test_a_trained_encoder_has_no_cached_features(settings_cached):
    settings_cached.train.freeze = ("^encoder/vision_model",)
    with pytest.raises(ConfigError, match="cached_clips is 4, which needs a frozen encoder"):
        make_run(from_config_dict(settings_cached))


def test_frozen_early_blocks_are_not_differentiated():
    text = TextConfig(8, 16, 1, 2, vocab_size=20)
    config = CLIPConfig(VisionConfig(32, 64, 4, 2, image_size=16, patch_size=4), text, 6)
    tower, images = CLIPVision(config), jnp.zeros((4, 16, 16, 3))
    shapes = {"encoder": jax.eval_shape(tower.init, jax.random.key(0), images)["params"]}

    def flops(freeze):
        trained, frozen = split_params(shapes, freeze)

        def loss(trained, frozen):
            params = join_params(trained, frozen)["encoder"]
            return (tower.apply({"params": params}, images) ** 2).sum()

        return jax.jit(jax.grad(loss)).lower(trained, frozen).cost_analysis()["flops"]

    everything = flops(())
    late = flops(("embeddings", "pre_layrnorm", "layers/[012]/"))
    early = flops(("post_layernorm", "projection", "layers/[123]/"))
    # Forward 1, backward 2 (1 for weights, 1 for activations): of 4 blocks 4 + 2 against 4 + 8.
    assert late < 0.6 * everything
    assert late < 0.75 * early
