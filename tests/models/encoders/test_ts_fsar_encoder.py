"""TS-FSAR's encoder: sizes, its start from CLIP, what a video's features depend on."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.ts_fsar import FEATURES, TSFSAREncoder
from mdmf_jax.models.methods.ts_fsar import TSFSARConfig
from mdmf_jax.weights import ts_fsar

TEXT = TextConfig(16, 32, 1, 2)
CLIP = CLIPConfig(VisionConfig(64, 256, 2, 2, image_size=8, patch_size=4), TEXT, 16)
OPTIONS = TSFSAREncoder.Config(side_width=64, temporal_blocks=(1,))


def encoder(options=OPTIONS, clip=CLIP):
    return TSFSAREncoder(options, clip, wanted=FEATURES)


@pytest.fixture(scope="module")
def videos():
    return np.random.default_rng(0).integers(0, 256, (3, 2, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def params(videos):
    made = jax.jit(lambda key: encoder().init(key, {"rgb": videos}, method="videos"))
    return made(jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def encode():
    return jax.jit(
        lambda params, videos: encoder().apply({"params": params}, {"rgb": videos}, method="videos")
    )


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("classes", "published"), [(31, 14_272_396), (70, 15_555_340)])
def test_parameters_at_published_size(classes, published):
    clip, options = published_config("vit_b16"), TSFSAREncoder.Config()
    shapes = ts_fsar.template(clip, options, TSFSARConfig(), 8, classes)
    flat = flatten_dict(shapes["encoder"], sep="/")
    trained = [x for path, x in flat.items() if re.search(TSFSAREncoder.trains(options), path)]
    assert count(trained) + count(shapes["head"]) == published
    assert count(shapes["head"]) == 16_384 + 32_896 * classes
    assert count(shapes["encoder"]["adapter_frames"]) == 1_051_648


def test_shapes_of_the_features(encode, params, videos):
    found = jax.eval_shape(encode, params, videos)
    shapes = {name: x.shape for name, x in found.items()}
    assert shapes == {
        "correlation": (3, 2, 64 * 65 // 2),
        "class_tokens": (3, 2, 64),
        "adapted_clip": (3, 16),
        "side_text": (3, 16),
    }


def test_a_video_is_seen_alone_and_its_frames_together(encode, params, videos):
    changed = videos.copy()
    changed[1, 1] = 255 - changed[1, 1]
    before, after = (jax.tree.map(np.asarray, encode(params, x)) for x in (videos, changed))
    for name in FEATURES:
        np.testing.assert_array_equal(before[name][[0, 2]], after[name][[0, 2]])
    # The attention over frames carries a change to the other frame of its video.
    assert np.abs(before["class_tokens"][1, 0] - after["class_tokens"][1, 0]).max() > 1e-5


def test_without_temporal_blocks_frames_are_seen_alone(params, videos):
    module = encoder(replace(OPTIONS, temporal_blocks=()))
    apply = jax.jit(lambda x: module.apply({"params": params}, {"rgb": x}, method="videos"))
    changed = videos.copy()
    changed[:, 1] = 255 - changed[:, 1]
    before, after = (apply(x)["correlation"] for x in (videos, changed))
    np.testing.assert_allclose(before[:, 0], after[:, 0], atol=1e-6)
    assert np.abs(before[:, 1] - after[:, 1]).max() > 1e-4


def started(options, params):
    return jax.tree.map(np.asarray, jax.jit(encoder(options).start)(params))


def test_the_start_is_made_of_clip(params):
    new = replace(OPTIONS, start="ladder")
    one = started(new, params)
    jax.tree.map(np.testing.assert_array_equal, one, started(new, params))
    for number in range(2):
        block = one["adapter_ladder"][f"block_{number}"]
        theirs = params["vision_model"]["encoder"]["layers"][str(number)]
        # At the width of CLIP a matrix is turned by an orthogonal one, its columns centred.
        kernel = np.asarray(theirs["self_attn"]["q_proj"]["kernel"])
        centred = kernel - kernel.mean(axis=1, keepdims=True)
        made = block["self_attn"]["q_proj"]["kernel"]
        np.testing.assert_allclose(made.T @ made, centred.T @ centred, atol=1e-5)
        np.testing.assert_allclose(
            block["layer_norm1"]["scale"], theirs["layer_norm1"]["scale"], atol=1e-6
        )
    np.testing.assert_array_equal(
        one["adapter_frames"]["attention"]["q_proj"]["kernel"],
        params["adapter_frames"]["attention"]["q_proj"]["kernel"],
    )
    whole = started(OPTIONS, params)["adapter_frames"]["attention"]["q_proj"]["kernel"]
    assert whole.shape == (16, 16)
    assert np.abs(whole - params["adapter_frames"]["attention"]["q_proj"]["kernel"]).max() > 0
    at_random = encoder(replace(OPTIONS, start="random")).start(params)
    assert at_random is params


def test_the_gate_or_the_sum(videos):
    sizes = [
        jax.eval_shape(
            lambda key, options=options: encoder(options).init(
                key, {"rgb": jnp.asarray(videos)}, method="videos"
            ),
            jax.random.key(0),
        )["params"]["adapter_ladder"]
        for options in (OPTIONS, replace(OPTIONS, gate="none"))
    ]
    assert set(sizes[0]) - set(sizes[1]) == {"gate_0", "gate_1"}


@pytest.mark.parametrize(
    ("changes", "vision", "message"),
    [
        ({"temporal_blocks": (0, 2)}, None, "names the block 2, but this CLIP has 2 blocks"),
        ({"side_width": 96}, None, "encoder.side_width is 96; it must be a multiple of 64"),
        ({}, ResNetConfig((1, 1, 1, 1), 8, 8, 32), "needs a CLIP with a vision transformer"),
    ],
)
def test_wrong_settings(changes, vision, message, videos):
    module = encoder(replace(OPTIONS, **changes), replace(CLIP, vision=vision) if vision else CLIP)
    with pytest.raises(ConfigError) as error:
        jax.eval_shape(
            lambda key: module.init(key, {"rgb": jnp.asarray(videos)}, method="videos"),
            jax.random.key(0),
        )
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_ladder_wider_than_clip_cannot_start_from_it(params):
    wide = replace(OPTIONS, side_width=128)
    shapes = ts_fsar.template(CLIP, wide, TSFSARConfig(), 2, 2)["encoder"]
    with pytest.raises(ConfigError, match="encoder.start: .*choose a smaller width"):
        jax.eval_shape(encoder(wide).start, shapes)
