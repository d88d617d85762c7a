"""Against Pillow's ImageEnhance, the standard library's colorsys, and formulas."""

import colorsys
from itertools import permutations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mdmf_jax.data.transforms import colour


def clip(frames=3, height=6, width=7):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    pixels[0, 0, :4] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [7, 7, 7]]
    return pixels


def floats(pixels):
    return pixels.astype(np.float32) / 255


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(
    ("change", "enhancer"),
    [
        (colour.brightness, ImageEnhance.Brightness),
        (colour.contrast, ImageEnhance.Contrast),
        (colour.saturation, ImageEnhance.Color),
    ],
)
def test_blends_are_pillows(change, enhancer, factor):
    """One frame at a time; Pillow rounds the grey, and its mean, to whole levels."""
    for frame in clip():
        expected = np.asarray(enhancer(Image.fromarray(frame)).enhance(factor))
        ours = 255 * change(floats(frame[None]), factor)[0]
        assert abs(ours - expected).max() <= 1.6
        assert ours.min() >= 0 and ours.max() <= 255


def test_contrast_is_about_the_whole_clip():
    frames = np.stack([np.full((4, 4, 3), level, np.float32) for level in (0.2, 0.6)])
    np.testing.assert_allclose(
        colour.contrast(frames, 0.5)[:, 0, 0, 0], [0.3, 0.5], rtol=1e-5
    )  # a frame's own mean would change nothing


@pytest.mark.parametrize("turn", [-0.25, 0.0, 0.1, 0.25, 1.0])
def test_hue_is_colorsys(turn):
    pixels = floats(clip())
    turned = colour.hue(pixels, turn)
    for before, after in zip(pixels.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before.tolist())
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        np.testing.assert_allclose(after, expected, atol=1e-5)


def changes(pixels, factors, order, grey):
    """All four changes one after the other, in float64, by other code than ours."""
    x = pixels / 255.0
    weights = np.array([0.299, 0.587, 0.114])
    if grey:
        x = np.stack([(x * weights).sum(-1)] * 3, -1)
    for name in order:
        grey_of_x = (x * weights).sum(-1)[..., None]
        if name == "hue":
            flat = [colorsys.rgb_to_hsv(*p) for p in x.reshape(-1, 3)]
            turned = [colorsys.hsv_to_rgb((h + factors[name]) % 1, s, v) for h, s, v in flat]
            x = np.array(turned).reshape(x.shape)
            continue
        other = {"brightness": 0, "contrast": grey_of_x.mean(), "saturation": grey_of_x}[name]
        x = np.clip(factors[name] * x + (1 - factors[name]) * other, 0, 1)
    return 255 * x


def test_jitter_does_all_changes_one_after_the_other(monkeypatch):
    """torch_videovision applied each to the original, so that only the last one counted."""
    names = ("brightness", "contrast", "saturation", "hue")
    calls = []
    for name in names:
        original = getattr(colour, name)

        def record(clip, amount, name=name, original=original):
            calls.append((name, amount))
            return original(clip, amount)

        monkeypatch.setattr(colour, name, record)
    pixels, orders, greys, factors = clip(2, 3, 4), set(), 0, {name: [] for name in names}
    for seed in range(300):
        calls.clear()
        out = colour.color_jitter(pixels, colour.draw_jitter(np.random.default_rng(seed)))
        assert out.dtype == np.uint8 and out.shape == pixels.shape
        used, order = dict(calls), tuple(name for name, _ in calls)
        by_grey = [abs(out - changes(pixels, used, order, grey)).max() for grey in (False, True)]
        assert min(by_grey) <= 0.51
        greys += by_grey[1] < by_grey[0]
        orders.add(order)
        for name, amount in calls:
            factors[name].append(amount)
    assert orders == set(permutations(names))
    assert 60 <= greys <= 120  # probability 0.3
    for name in names[:3]:
        assert 0.5 <= min(factors[name]) < 0.53 and 1.47 < max(factors[name]) <= 1.5
    assert -0.25 <= min(factors["hue"]) < -0.23 and 0.23 < max(factors["hue"]) <= 0.25


def test_jitter_is_the_same_for_all_frames():
    """But for the mean that contrast refers to, which is the clip's: frames alike stay alike."""
    pixels = np.repeat(clip(1), 4, axis=0)
    out = colour.color_jitter(pixels, colour.draw_jitter(np.random.default_rng(3)))
    assert (out == out[:1]).all() and (out != pixels).any()
