"""Against Pillow (whole-image calls), a triangle filter written out, and plain slicing."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from mdmf_jax.data.transforms import center_crop, random_crop_flip, resize_short_side
from mdmf_jax.errors import ConfigError


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


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
    for frame, crop in zip(frames, cropped, strict=True):
        left, top = round((width - 24) / 2), round((height - 24) / 2)
        expected = Image.fromarray(frame).crop((left, top, left + 24, top + 24))
        np.testing.assert_array_equal(crop, np.asarray(expected))


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
