"""D2ST-Adapter's encoders: windows, published sizes, where they start, and wrong settings."""

import dataclasses
import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.encoders.d2st_windows import (
    PARTS,
    RESNET_WINDOWS,
    VIT_WINDOWS,
    fitted_window,
    make_bottleneck,
)
from mdmf_jax.models.encoders.resnet import Block, ResNetSizes

TEXT = TextConfig(16, 32, 1, 2, vocab_size=20, eos_token_id=19)
CLIP = CLIPConfig(VisionConfig(32, 64, 2, 2, image_size=16, patch_size=8), TEXT, 16)
SMALL = ResNetSizes((1, 2, 1, 1), (4, 8, 16, 32), stem=8)
VIDEOS = {"rgb": np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)}


def shapes_of(encoder, frames=8):
    init = partial(encoder.init, ids=None, method="everything")
    return jax.eval_shape(init, jax.random.key(0), encoder.example(frames))["params"]


def count(tree, pattern=""):
    flat: dict[str, Any] = flatten_dict(tree, sep="/")
    return sum(x.size for path, x in flat.items() if re.search(pattern, path))


def test_trained_numbers_of_a_vit_are_the_published_ones():
    encoder = D2STEncoder(D2STEncoder.Config(), published_config("vit_b16"))
    shapes = shapes_of(encoder)
    assert count(shapes) == 93_079_872
    assert count(shapes, "/adapter/") == 12 * 606_192
    assert count(shapes, "adapter_embedding") == 6_144
    assert count(shapes, encoder.trains(encoder.options)) == 7_282_752
    assert encoder.width == 768


def test_trained_numbers_of_a_resnet_are_the_published_ones():
    encoder = D2STResNetEncoder(D2STResNetEncoder.Config(), ResNetSizes())
    shapes = shapes_of(encoder)
    each = [count(shapes, f"^adapter{number}/") for number in (1, 2, 3, 4)]
    assert each == [94_272, 293_760, 1_070_400, 4_225_344]
    assert count(shapes, encoder.trains(encoder.options)) == 5_683_776
    # torchvision's ResNet-50 without its classifier, and the statistics of 53 BatchNorms.
    assert count(shapes, "^(stem|layer)") - count(shapes, "/(mean|var)$") == 23_508_032
    assert encoder.width == 2048


@pytest.mark.parametrize(
    ("published", "side", "stage", "grids"),
    [
        (VIT_WINDOWS, 14, 0, ((2, 4, 4), (8, 2, 2))),
        (RESNET_WINDOWS, 56, 0, ((2, 8, 8), (8, 4, 4))),
        (RESNET_WINDOWS, 28, 1, ((2, 4, 4), (8, 2, 2))),
        (RESNET_WINDOWS, 14, 2, ((2, 4, 4), (8, 2, 2))),
        (RESNET_WINDOWS, 7, 3, ((2, 2, 2), (8, 1, 1))),
    ],
)
def test_the_published_windows_and_their_grids(published, side, stage, grids):
    for part, grid in zip(PARTS, grids, strict=True):
        window = published[part][stage]
        assert fitted_window(window, part, (8, side, side)) == window
        assert window.grid((8, side, side)) == grid


@pytest.mark.parametrize("part", PARTS)
def test_on_every_grid_there_is_a_window_that_fits(part):
    for published in (VIT_WINDOWS, RESNET_WINDOWS):
        for window in published[part]:
            for frames in range(1, 10):
                for side in range(1, 16):
                    sizes = (frames, side, side)
                    assert all(fitted_window(window, part, sizes).grid(sizes))


def test_a_small_grid_has_as_many_samples_as_the_published_one():
    for part, grid in zip(PARTS, ((2, 4, 4), (8, 2, 2)), strict=True):
        window = fitted_window(VIT_WINDOWS[part][0], part, (8, 4, 4))
        assert window.grid((8, 4, 4)) == grid


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space_kernel": (4, 3, 3)}, "space_kernel is (4, 3, 3) with padding (0, 0, 0), which "
         "does not fit 3 frames of 2 x 2 patches"),
        ({"time_kernel": (1, 3, 2)}, "time_kernel is (1, 3, 2)"),
        ({"time_kernel": (1, 2)}, "time_kernel is (1, 2): it takes 3 numbers"),
        ({"space_stride": (1, 1, 1)}, "set encoder.space_kernel as well"),
        ({"time_padding": (0, 1, 1)}, "set encoder.time_kernel as well"),
        ({"space_heads": (3,)}, "space_heads is 3, which does not divide the adapters' 8 channels"),
        ({"time_groups": (16,)}, "time_groups is 16, which does not divide"),
        ({"time_groups": (4, 4)}, "time_groups is (4, 4): it takes 1 numbers"),
        ({"space_heads": ()}, "space_heads is (): it needs a number"),
        ({"adapter_scale": 0.01}, "adapter_scale is 0.01, which leaves no channel of 32"),
    ],
)  # fmt: skip
def test_adapters_that_do_not_fit_get_one_line(changes, message):
    encoder = D2STEncoder(D2STEncoder.Config(**changes), CLIP)
    with pytest.raises(ConfigError) as error:
        shapes_of(encoder, 3)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_settings_of_a_resnet_are_for_all_stages_or_one_by_one():
    own = {"space_kernel": (2, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1, 1), "space_heads": (2,)}
    options = D2STResNetEncoder.Config(**own)
    made = [
        make_bottleneck(options, RESNET_WINDOWS, 32, (2, 4, 4), stage, parent=None)
        for stage in range(4)
    ]
    kernels = [module.space.window.kernel for module in made]
    assert kernels == [(2, 4, 4), (2, 2, 2), (1, 1, 1), (1, 1, 1)]
    assert [module.space.heads for module in made] == [2, 2, 2, 2]
    assert [module.space.groups for module in made] == [1, 2, 4, 8]
    with pytest.raises(ConfigError, match=r"takes 3 or 12 numbers"):
        short = dataclasses.replace(options, space_kernel=(2, 4))
        make_bottleneck(short, RESNET_WINDOWS, 32, (2, 4, 4), parent=None)


def test_a_clip_with_a_resnet_is_refused():
    resnet = CLIPConfig(ResNetConfig((1, 1, 1, 1), 2, 4, image_size=32), TEXT, 6)
    with pytest.raises(ConfigError, match="needs a CLIP with a vision transformer"):
        shapes_of(D2STEncoder(D2STEncoder.Config(), resnet))


def random_like(shapes):
    rng = np.random.default_rng(4)
    return jax.tree.map(lambda x: rng.normal(0.1, 0.3, x.shape).astype(np.float32), shapes)


def test_an_adapter_adds_nothing_at_first():
    adapter = make_bottleneck(D2STEncoder.Config(), VIT_WINDOWS, 16, (2, 2, 2), parent=None)
    x = np.random.default_rng(1).normal(size=(1, 2, 5, 16)).astype(np.float32)
    y, variables = jax.jit(adapter.init_with_output)(jax.random.key(0), x)
    assert not np.any(y)
    flat: dict[str, Any] = flatten_dict(variables["params"], sep="/")
    zero = {path.rsplit("/", 1)[0] for path, leaf in flat.items() if not np.any(leaf)}
    assert zero == {"up", "space_norm", "time_norm"} | {
        f"{part}_attention/offset_norm" for part in PARTS
    }


def test_without_what_adapters_add_it_is_clip_before_its_projection():
    encoder = D2STEncoder(D2STEncoder.Config(normalise="clip"), CLIP)
    flat: dict[str, Any] = flatten_dict(random_like(shapes_of(encoder, 3)), sep="/")
    params = {
        path: leaf * (not re.search("/up/|adapter_embedding", path)) for path, leaf in flat.items()
    }
    params = unflatten_dict(params, sep="/")
    run = jax.jit(partial(encoder.apply, method="videos"))
    ours: Any = run({"params": params}, VIDEOS)
    plain = CLIPEncoder(CLIPEncoder.Config(normalise="clip"), CLIP)
    kernel = np.random.default_rng(3).normal(size=(32, 16)).astype(np.float32)
    leaves = params | {"visual_projection": {"kernel": kernel}}
    expected: Any = jax.jit(partial(plain.apply, method="videos"))({"params": leaves}, VIDEOS)
    assert ours["frames"].shape == (2, 3, 32)
    np.testing.assert_allclose(ours["frames"] @ kernel, expected["frames"], rtol=2e-4, atol=2e-4)


def test_the_new_leaves_of_a_video_see_all_its_frames_and_no_other_video():
    encoder = D2STEncoder(D2STEncoder.Config(normalise="clip"), CLIP)
    shapes = shapes_of(encoder, 3)
    params = random_like(shapes)
    run: Any = jax.jit(lambda x: encoder.apply({"params": params}, {"rgb": x}, method="videos"))
    pixels = VIDEOS["rgb"]
    changed = pixels.copy()
    changed[1, 2] = 255 - changed[1, 2]
    moved = np.abs(run(pixels)["frames"] - run(changed)["frames"]).max(-1)
    assert not moved[0].any() and (moved[1] > 1e-5).all()


def plain_conv(x, kernel, stride):
    side = kernel.shape[0]
    x = np.pad(x, [(0, 0)] + 2 * [(side // 2, side // 2)] + [(0, 0)])
    size = (x.shape[1] - side) // stride + 1
    found = np.zeros((len(x), size, size, kernel.shape[-1]))
    for row, column in np.ndindex(size, size):
        cut = x[:, row * stride : row * stride + side, column * stride : column * stride + side]
        found[:, row, column] = np.einsum("nhwc,hwcd->nd", cut, kernel)
    return found


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_block_of_a_resnet_against_loops(bottleneck):
    block = Block(2, stride=2, bottleneck=bottleneck)
    x = np.random.default_rng(5).normal(size=(2, 6, 6, 3)).astype(np.float32)
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)["params"]
    rng = np.random.default_rng(6)
    p = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), shapes)

    def layer(name, norm, y, stride):
        y = plain_conv(y, p[name]["kernel"], stride)
        factor = p[norm]["scale"] / np.sqrt(p[norm]["var"] + 1e-5)
        return (y - p[norm]["mean"]) * factor + p[norm]["bias"]

    # The stride is in the first convolution of 3 x 3 cells (version 1.5).
    strides = (1, 2, 1) if bottleneck else (2, 1)
    y = x
    for index, stride in enumerate(strides, 1):
        y = layer(f"conv{index}", f"bn{index}", y, stride)
        y = np.maximum(y, 0) if index < len(strides) else y
    expected = np.maximum(y + layer("downsample_conv", "downsample_bn", x, 2), 0)
    found: Any = block.apply({"params": p}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_resnet_takes_frames_of_its_size():
    encoder = D2STResNetEncoder(D2STResNetEncoder.Config(image_size=32), SMALL)
    with pytest.raises(ConfigError, match="encoder.image_size is 32"):
        encoder.init(jax.random.key(0), VIDEOS, method="videos")


def test_batch_norms_of_a_resnet_never_look_at_the_batch():
    options = D2STResNetEncoder.Config(image_size=32, normalise="imagenet")
    encoder = D2STResNetEncoder(options, SMALL)
    params = jax.tree.map(
        lambda x: np.random.default_rng(x.size).normal(0.2, 0.2, x.shape).astype(np.float32) ** 2,
        shapes_of(encoder, 2),
    )
    run: Any = jax.jit(
        lambda x: encoder.apply({"params": params}, {"rgb": x}, method="videos", train=True)
    )
    pixels = np.random.default_rng(7).integers(0, 256, (2, 2, 32, 32, 3), np.uint8)
    both = run(pixels)["frames"]
    assert np.isfinite(both).all() and both.shape == (2, 2, 128)
    again = jnp.stack([run(np.stack([video] * 2))["frames"][0] for video in pixels])
    np.testing.assert_allclose(again, both, rtol=1e-5)
