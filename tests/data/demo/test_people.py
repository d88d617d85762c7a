"""Generated people: the same for a seed, apart from the training's, and rooms that mislead."""

import numpy as np
import pytest

from benchmarks import people_baselines as baselines
from mdmf_jax.data.demo.people.body import draw_body
from mdmf_jax.data.demo.people.clip import LIMBS, training_clip
from mdmf_jax.data.demo.people.dataset import people_clip, people_folders
from mdmf_jax.data.demo.people.gestures import draw_gesture
from mdmf_jax.data.demo.people.motions import MOTIONS, act
from mdmf_jax.data.demo.people.pose import joints


@pytest.fixture(scope="module")
def shown():
    """Clips of four motions by three actors."""
    names = ("waving", "bowing", "clapping", "nodding")
    return {(n, actor): people_clip(n, actor) for n in names for actor in range(3)}


def test_a_seed_gives_the_same_videos(shown):
    again = people_clip("waving", 1)
    np.testing.assert_array_equal(again, shown["waving", 1])
    assert people_clip("waving", 1, seed=1).tobytes() != again.tobytes()
    one, two = (
        training_clip(draw_gesture(rng), 12, 24, 32, rng)
        for rng in (np.random.default_rng(5), np.random.default_rng(5))
    )
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert one[0].shape == (12, 24, 32) and one[1].shape == (12, len(LIMBS), 2)


def test_the_room_tells_the_actor_and_not_the_motion(shown):
    keys = list(shown)
    vectors = np.stack([baselines.mean_frame(shown[key]) for key in keys])
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    cosines = vectors @ vectors.T - 2 * np.eye(len(keys))
    nearest = [keys[i] for i in cosines.argmax(1)]
    same = [key[1] == other[1] for key, other in zip(keys, nearest, strict=True)]
    assert np.mean(same) > 0.8
    assert all(key[0] != other[0] for key, other, s in zip(keys, nearest, same, strict=True) if s)


def test_bodies_of_tests_are_none_of_the_training():
    rng = np.random.default_rng(0)
    thickness = {u: np.array([draw_body(rng, u).thickness for _ in range(200)]) for u in (0, 1)}
    low, high = thickness[0].min(), thickness[0].max()
    assert ((thickness[1] < low) | (thickness[1] > high)).all()
    assert all(draw_body(rng, True).checks and not draw_body(rng).checks for _ in range(20))


def test_limbs_keep_their_length_and_hands_go_where_they_are_sent():
    rng = np.random.default_rng(1)
    body = draw_body(rng)
    for name in MOTIONS:
        places = joints(body, act(name, 16, 2.0, rng))
        for side in "lr":
            upper = places[f"elbow_{side}"] - places[f"shoulder_{side}"]
            fore = places[f"hand_{side}"] - places[f"elbow_{side}"]
            for part, length in ((upper, body.upper), (fore, body.fore)):
                lengths = np.linalg.norm(part, axis=-1)
                np.testing.assert_allclose(lengths, length * body.scale, rtol=1e-3)


def test_splits_share_no_class():
    folders = [set(people_folders(split)) for split in ("train", "val", "test")]
    assert len(set.union(*folders)) == sum(map(len, folders)) and len(folders[2]) == len(MOTIONS)


def test_the_twenty_lines_by_hand():
    rng = np.random.default_rng(3)
    frames = np.repeat(rng.integers(0, 256, (7, 18, 32, 1)), 3, -1).astype(np.uint8)
    grey = frames[..., 0].astype(float)
    parts = [[0, 1], [2, 3], [4, 5]]  # six differences in thirds
    expected = np.concatenate(
        [np.mean([abs(grey[i + 1] - grey[i]) for i in part], axis=0).ravel() for part in parts]
    )
    np.testing.assert_allclose(baselines.change_map(frames), expected, atol=1e-3)
    picture = grey.mean(0).ravel()
    np.testing.assert_allclose(baselines.mean_frame(frames), picture - picture.mean(), atol=1e-3)


def test_answers_of_a_baseline_by_hand():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9]])
    episodes = {"support": np.array([[[0, 1], [2, 3]]]), "query": np.array([[4, 5]])}
    assert baselines.answers(vectors, episodes).tolist() == [[0, 1]]
