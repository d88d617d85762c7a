"""The small CLIP that comes with the package, on freshly drawn videos."""

from itertools import combinations

import jax
import numpy as np
import pytest

from mdmf_jax.data.demo.dataset import demo_classes, demo_clip
from mdmf_jax.data.transforms.geometry import crop, fixed_cut, resize_short_side
from mdmf_jax.data.transforms.sampling import frame_indices_test
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.weights.huggingface import demo_clip_path, load_clip

CLIPS = 8


@pytest.fixture(scope="module")
def clip():
    return load_clip(demo_clip_path())


@pytest.fixture(scope="module")
def scores(clip):
    """Mean cosine of the best 4 of 8 frames of unseen videos with unseen captions [C, N, C]."""
    classes = demo_classes("val")
    texts = [f"a video of {first} then {second}" for first, second in classes]
    ids = clip.tokenizer(texts, clip.config.text.max_position_embeddings)
    videos = [demo_clip(*pair, number, seed=77) for pair in classes for number in range(CLIPS)]
    model, variables = CLIP(clip.config), {"params": clip.params}
    flat = normalise(np.concatenate([small(video) for video in videos]), "clip")
    frames = unit(jax.jit(lambda x: model.apply(variables, x, method="encode_image"))(flat))
    prompts = unit(model.apply(variables, ids, method="encode_text"))
    cosines = (frames @ prompts.T).reshape(len(classes), CLIPS, 8, len(classes))
    return np.sort(cosines, axis=2)[:, :, 4:].mean(axis=2)


def small(video: np.ndarray) -> np.ndarray:
    chosen = video[frame_indices_test(len(video), 8)]
    scaled = resize_short_side(chosen, 36)
    return crop(scaled, fixed_cut(*scaled.shape[1:3], 32))


def unit(x) -> np.ndarray:
    return np.asarray(x) / np.linalg.norm(x, axis=-1, keepdims=True)


def test_it_is_small_and_described():
    files = list(demo_clip_path().iterdir())
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert "train_demo_clip.py" in (demo_clip_path() / "README.md").read_text()


def test_every_word_of_the_captions_is_one_token(clip):
    ids = clip.tokenizer(["a video of moving left then spinning"], 12)[0]
    assert ids.tolist().index(clip.tokenizer.end) == 8


def test_prompts_are_chosen_above_chance_for_classes_never_trained_on(scores):
    count = len(scores)
    right = [
        scores[true, :, list(ways)].argmax(axis=0) == ways.index(true)
        for ways in combinations(range(count), 5)
        for true in ways
    ]
    assert np.mean(right) > 0.35  # chance is 0.2
