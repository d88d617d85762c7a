import jax
import numpy as np
import pytest

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.preprocess import normalise

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (40, 3), (2, 1, 5, 4, 3)])
def test_clip_normalisation_per_channel(shape):
    ours = jax.jit(normalise, static_argnums=1)(PIXELS.reshape(shape), "clip")
    assert ours.dtype == np.float32 and ours.shape == shape
    x = PIXELS.reshape(shape).astype(np.float64)
    red = (x[..., 0] / 255 - 0.48145466) / 0.26862954
    green = (x[..., 1] / 255 - 0.4578275) / 0.26130258
    blue = (x[..., 2] / 255 - 0.40821073) / 0.27577711
    np.testing.assert_allclose(ours, np.stack([red, green, blue], axis=-1), rtol=1e-5, atol=1e-6)


def test_no_normalisation_scales_to_one():
    np.testing.assert_allclose(normalise(PIXELS, "none"), PIXELS / 255.0, rtol=1e-6)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="'inception'.*clip, imagenet, none"):
        normalise(PIXELS, "inception")
