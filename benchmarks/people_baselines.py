"""What an encoder of motion has to beat: a few lines of NumPy on whole videos, no learning."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

HEIGHT, WIDTH, THIRDS = 18, 32, 3


def small_grey(frames: np.ndarray) -> np.ndarray:
    """RGB frames uint8 [N, H, W, 3] as grey ones float32 [N, HEIGHT, WIDTH], means of areas."""
    return np.stack(
        [
            np.asarray(
                Image.fromarray(x).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
            )
            for x in frames
        ]
    ).astype(np.float32)


def change_map(frames: np.ndarray) -> np.ndarray:
    """The "twenty lines": mean absolute difference of neighbouring frames in each third of the
    time, [THIRDS * HEIGHT * WIDTH]."""
    change = np.abs(np.diff(small_grey(frames), axis=0))
    return np.concatenate([part.mean(0).ravel() for part in np.array_split(change, THIRDS)])


def mean_frame(frames: np.ndarray) -> np.ndarray:
    """The mean picture, less its own mean, [HEIGHT * WIDTH]: what stands there."""
    picture = small_grey(frames).mean(0).ravel()
    return picture - picture.mean()


def answers(vectors: np.ndarray, episodes: Mapping[str, np.ndarray]) -> np.ndarray:
    """The class of each query by the cosine with the mean of a class, 0..W-1 [N, Q].

    Args:
      vectors: of all videos [V, D].
      episodes: support [N, W, K] and query [N, Q], numbers of videos.
    """
    found = []
    for support, query in zip(episodes["support"], episodes["query"], strict=True):
        means = vectors[support].mean(1)  # [W, D]
        means /= np.linalg.norm(means, axis=-1, keepdims=True) + 1e-9
        found.append((vectors[query] @ means.T).argmax(-1))
    return np.stack(found)
