"""Against Pillow (whole-image calls), a triangle filter written out, and plain slicing."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from mdmf_jax.data.transforms.colour import color_jitter
from mdmf_jax.data.transforms.geometry import (
    crop,
    fixed_cut,
    flip,
    random_cut,
    resize,
    resize_short_side,
)
from mdmf_jax.data.transforms.geometry import squash as squash_to
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.errors import ConfigError


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def center_crop(frames, size):
    return crop(frames, fixed_cut(*frames.shape[1:3], size))


def random_crop_flip(frames, size, mirror, rng):
    return crop(frames, random_cut(*frames.shape[1:3], size, mirror, rng))


def squash(frames, size):
    return squash_to(frames, size, size)


def triangle_weights(old, new):
    """Rows of weights of a triangle filter as wide as the reduction (at least 1 pixel)."""
    scale = old / new
    width = max(scale, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - abs(np.arange(old) + 0.5 - centres) / width)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (240, 320, 256, (256, 341)),
        (320, 240, 256, (341, 256)),
        (64, 64, 32, (32, 32)),
        (50, 77, 20, (20, 30)),
        (33, 41, 64, (64, 79)),
    ],
)
def test_resize_is_the_antialiased_triangle_filter(height, width, size, expected):
    frames = noise(2, height, width, 3)
    resized = resize_short_side(frames, size)
    assert resized.dtype == np.uint8 and resized.shape == (2, *expected, 3)
    rows, columns = triangle_weights(height, expected[0]), triangle_weights(width, expected[1])
    exact = np.einsum("ah,thwc,bw->tabc", rows, frames, columns, optimize=True)
    assert abs(resized - exact).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(256, 300), (300, 256)])
def test_resize_leaves_the_right_size_untouched(height, width):
    frames = noise(1, height, width, 3)
    assert resize_short_side(frames, 256) is frames


@pytest.mark.parametrize(("height", "width"), [(31, 40), (40, 31), (30, 43), (24, 24)])
def test_center_crop_is_pillows(height, width):
    frames = noise(3, height, width, 3)
    cropped = center_crop(frames, 24)
    for frame, square in zip(frames, cropped, strict=True):
        left, top = round((width - 24) / 2), round((height - 24) / 2)
        expected = Image.fromarray(frame).crop((left, top, left + 24, top + 24))
        np.testing.assert_array_equal(square, np.asarray(expected))


def test_center_crop_halves_odd_margins_to_even():
    frames = np.arange(27)[None, :, None, None] + np.zeros((1, 27, 29, 3), int)
    assert center_crop(frames, 24)[0, 0, 0, 0] == 2  # 3 / 2 = 1.5 becomes 2
    assert center_crop(frames, 22)[0, 0, 0, 0] == 2  # 5 / 2 = 2.5 becomes 2


def candidates(frame, size, flips):
    """Every crop of a frame (mirrored or not), by its bytes: (mirrored, left, top)."""
    found = {}
    for mirrored in flips:
        image = Image.fromarray(frame)
        image = ImageOps.mirror(image) if mirrored else image
        for left in range(image.width - size + 1):
            for top in range(image.height - size + 1):
                crop = image.crop((left, top, left + size, top + size))
                found[np.asarray(crop).tobytes()] = (mirrored, left, top)
    return found


@pytest.mark.parametrize("flip", [True, False])
def test_random_crop_flip_is_one_choice_for_all_frames(flip):
    frames = noise(4, 10, 13, 3)
    tables = [candidates(frame, 8, (False, True)) for frame in frames]
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(2000):
        crops = random_crop_flip(frames, 8, flip, rng)
        choices = {table[crop.tobytes()] for table, crop in zip(tables, crops, strict=True)}
        assert len(choices) == 1
        seen.append(choices.pop())
    mirrored, left, top = np.array(seen).T
    assert set(left) == set(range(6)) and set(top) == set(range(3))
    assert 0.44 < mirrored.mean() < 0.56 if flip else not mirrored.any()
    assert abs(left.mean() - 2.5) < 0.2 and abs(top.mean() - 1) < 0.1


def test_crops_do_not_depend_on_the_flip_option():
    frames = noise(1, 10, 13, 3)
    table = candidates(frames[0], 8, (False, True))
    for seed in range(20):
        flipped = random_crop_flip(frames, 8, True, np.random.default_rng(seed))
        plain = random_crop_flip(frames, 8, False, np.random.default_rng(seed))
        assert table[flipped[0].tobytes()][1:] == table[plain[0].tobytes()][1:]


def test_crop_larger_than_the_frames():
    frames = noise(1, 20, 40, 3)
    with pytest.raises(ConfigError, match="data.crop=21.*20 x 40"):
        center_crop(frames, 21)
    with pytest.raises(ConfigError, match="data.crop=21.*20 x 40"):
        random_crop_flip(frames, 21, True, np.random.default_rng(0))


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (16, 90), (7, 5), (1, 3)])
def test_squash_is_two_taps_a_side(height, width):
    """Against the rule for each pixel (pixel centres at halves), without rounding."""
    frames, size = noise(2, height, width, 3), 16
    squashed = squash(frames, size)
    assert squashed.dtype == np.uint8 and squashed.shape == (2, size, size, 3)
    for y, x in np.ndindex(size, size):
        row, column = (
            max((at + 0.5) * old / size - 0.5, 0) for at, old in ((y, height), (x, width))
        )
        exact = 0
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            down, across = row - int(row), column - int(column)
            weight = (down if i else 1 - down) * (across if j else 1 - across)
            pixel = frames[:, min(int(row) + i, height - 1), min(int(column) + j, width - 1)]
            exact = exact + weight * pixel
        assert abs(squashed[:, y, x] - exact).max() <= 0.501


def test_squash_is_not_antialiased():
    """Of alternating columns, every fourth pixel centre falls between two: no grey is averaged."""
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, 1::4] = stripes[:, :, 2::4] = 255
    assert (squash(stripes, 16) == 255).all()
    assert abs(resize(stripes, 16, 16)[:, 2:-2, 2:-2].astype(float) - 127.5).max() <= 1
    assert squash(stripes, 64) is stripes


def test_fixed_cuts_are_pillows():
    frames = noise(2, 21, 31, 3)
    boxes = [(8, 2), (0, 0), (15, 0), (0, 5), (15, 5)]  # left and top; 15 / 2 and 5 / 2 to even
    for place, (left, top) in enumerate(boxes):
        cut = fixed_cut(21, 31, 16, place)
        pairs = zip(
            frames, crop(frames, cut), crop(frames, cut._replace(mirrored=True)), strict=True
        )
        for frame, plain, mirrored in pairs:
            image = Image.fromarray(frame).crop((left, top, left + 16, top + 16))
            np.testing.assert_array_equal(plain, np.asarray(image))
            np.testing.assert_array_equal(mirrored, np.asarray(ImageOps.mirror(image)))


def test_flip_is_pillows():
    frames = noise(2, 9, 9, 3)
    for frame, flipped in zip(frames, flip(frames), strict=True):
        np.testing.assert_array_equal(flipped, np.asarray(ImageOps.mirror(Image.fromarray(frame))))


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("scale", [resize, squash_to])
def test_channels_are_scaled_each_on_its_own(scale, channels):
    """Also where Pillow would take the last of two or four for transparency."""
    frames = noise(2, 20, 30, channels)
    scaled = scale(frames, 12, 14)
    assert scaled.shape == (2, 12, 14, channels) and scaled.dtype == np.uint8
    for channel in range(channels):
        single = np.repeat(frames[..., channel : channel + 1], 3, axis=-1)
        np.testing.assert_array_equal(scaled[..., channel], scale(single, 12, 14)[..., 0])


def test_the_two_pipelines():
    frames, rng = noise(4, 48, 64, 3), np.random.default_rng(0)
    mdmf, clip_fsar = Pipeline("mdmf", 32, 24), Pipeline("clip_fsar", 32, 24)
    np.testing.assert_array_equal(mdmf.scale(frames), resize(frames, 32, 42))
    np.testing.assert_array_equal(clip_fsar.scale(frames), squash(frames, 32))
    np.testing.assert_array_equal(crop(frames, mdmf.test_cut(48, 64)), frames[:, 12:36, 20:44])
    np.testing.assert_array_equal(crop(frames, mdmf.test_cut(48, 64, 4)), frames[:, -24:, -24:])
    assert clip_fsar.train_colours(True, rng) is None
    colours = Pipeline("clip_fsar", 32, 24, jitter=True)
    assert colours.train_colours(False, rng) is None
    assert (color_jitter(frames, colours.train_colours(True, rng)) != frames).any()


@pytest.mark.parametrize(
    ("name", "query", "share"),
    [("mdmf", False, 0.5), ("clip_fsar", False, 0), ("clip_fsar", True, 0.5)],
)
def test_clip_fsar_mirrors_queries_only(name, query, share):
    pipeline, frames = Pipeline(name, 24, 24, flip=True), noise(1, 24, 24, 3)
    rng = np.random.default_rng(0)
    cuts = [crop(frames, pipeline.train_cut(24, 24, query, rng)) for _ in range(200)]
    assert abs(np.mean([(cut == flip(frames)).all() for cut in cuts]) - share) < 0.15
