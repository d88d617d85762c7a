"""How good the demo's small CLIP is, measured on classes it was not trained on."""

from itertools import combinations

import jax
import numpy as np
from demo_clip_data import Clips, test_draw
from demo_clip_model import LENGTH, Reader, prompt_score, unit

from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer

FRAMES, WAY = 8, 5
CHUNK = 480  # frames encoded at a time


def encode_frames(model: CLIP, params: dict, pixels: np.ndarray) -> np.ndarray:
    """Frame features. uint8 [N, T, S, S, 3] -> float32 [N, T, D]."""
    encode = jax.jit(lambda x: model.apply({"params": params}, x, method="encode_image"))
    flat = pixels.reshape(-1, *pixels.shape[2:])
    chunks = [encode(normalise(flat[i : i + CHUNK], "clip")) for i in range(0, len(flat), CHUNK)]
    return np.concatenate(chunks).reshape(*pixels.shape[:2], -1)


def way_accuracy(scores: np.ndarray, labels: np.ndarray, way: int) -> float:
    """Share of right arg maxima, over all choices of `way` classes. [N, C], int [N]."""
    right = []
    for ways in combinations(range(scores.shape[1]), way):
        mine = np.isin(labels, ways)
        right.append(np.array(ways)[scores[mine][:, ways].argmax(axis=1)] == labels[mine])
    return float(np.concatenate(right).mean())


def nearest_support_accuracy(
    features: np.ndarray, labels: np.ndarray, shot: int, episodes: int, seed: int
) -> float:
    """5-way few-shot accuracy of the features alone, without any head.

    A query goes to the class whose mean support frames are nearest, frame t with frame t.
    """
    rng = np.random.default_rng(seed)
    frames = np.asarray(unit(features))
    right = 0
    for _ in range(episodes):
        classes = rng.permutation(labels.max() + 1)[:WAY]
        drawn = [rng.permutation(np.flatnonzero(labels == c))[: shot + 1] for c in classes]
        prototypes = np.stack([np.asarray(unit(frames[i[:shot]].mean(axis=0))) for i in drawn])
        query = frames[drawn[0][shot]]  # [T, D], of the first class
        right += (prototypes * query[None]).sum(axis=-1).mean(axis=-1).argmax() == 0
    return right / episodes


def scores(
    model: CLIP, reader: Reader, params: dict, tokenizer: Tokenizer, clips: Clips
) -> dict[str, float]:
    """Accuracies on the classes of `clips`, in percent."""
    features = encode_frames(model, params["clip"], test_draw(clips, FRAMES))
    ids = tokenizer([f"a video of {name}" for name in clips.names], LENGTH)
    texts = model.apply({"params": params["clip"]}, ids, method="encode_text")
    video, _ = reader.apply({"params": params["reader"]}, features)
    by_frames = np.asarray(prompt_score(features, texts))
    by_video = np.asarray(unit(video) @ unit(texts).T)
    found = {
        "prompt": way_accuracy(by_frames, clips.labels, WAY),
        "reader": way_accuracy(by_video, clips.labels, WAY),
    }
    for shot in (1, 5):
        accuracy = nearest_support_accuracy(features, clips.labels, shot, 1000, seed=0)
        found[f"nearest_{shot}_shot"] = accuracy
    return {name: round(100 * float(value), 1) for name, value in found.items()}
