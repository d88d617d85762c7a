"""Scores of Task-Adapter++, against NumPy and loops."""

import numpy as np
import pytest

from mdmf_jax.ops.sub_actions import cosines, crossed_frames, sub_action_scores, windows

RNG = np.random.default_rng(0)
QUERIES = RNG.standard_normal((4, 8, 6)).astype(np.float32)
TEXTS = RNG.standard_normal((3, 3, 6)).astype(np.float32)
THERE = np.ones((3, 3), bool)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_cosines_and_the_zero_vector():
    x, y = QUERIES[0], np.concatenate([TEXTS[0], np.zeros((1, 6), np.float32)])
    found = np.asarray(cosines(x, y))
    assert not found[:, 3].any()
    expected = [[cosine(a, b) for b in y[:3]] for a in x]
    np.testing.assert_allclose(found[:, :3], expected, atol=1e-6)
    half = np.asarray(cosines(x, y, half=True))
    np.testing.assert_array_equal(half, half.astype(np.float16))
    assert 1e-5 < np.abs(half - found).max() < 2e-3


def test_frames_take_from_the_next_frames_of_all_queries():
    expected = np.zeros((7, 4, 6))
    for f in range(7):
        for q in range(4):
            scores = np.array([QUERIES[q, f] @ QUERIES[p, f + 1] for p in range(4)]) / np.sqrt(6)
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[f, q] = weights @ QUERIES[:, f + 1]
    np.testing.assert_allclose(crossed_frames(QUERIES, together=True), expected, atol=1e-5)


def test_a_query_by_itself_takes_its_own_next_frame():
    one = crossed_frames(QUERIES[:1], together=True)
    np.testing.assert_allclose(crossed_frames(QUERIES)[:, :1], one, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "texts", "expected"),
    [
        (7, 3, [[0, 1, 2], [2, 3, 4], [4, 5, 6]]),  # as published
        (7, 1, [list(range(7))]),
        (5, 2, [[0, 1, 2], [2, 3, 4]]),
        (2, 3, [[0], [0], [0, 1]]),
        (1, 2, [[0], [0]]),
    ],
)
def test_windows_share_out_the_steps_in_order(steps, texts, expected):
    assert [list(range(steps))[part] for part in windows(steps, texts)] == expected


def test_scores_are_means_over_windows_and_the_texts_that_are_there():
    crossed = RNG.standard_normal((7, 4, 6)).astype(np.float32)
    parts = [(0, 1, 2), (2, 3, 4), (4, 5, 6)]
    there = THERE.copy()
    there[1, 2] = False
    expected = np.zeros((4, 3))
    for q in range(4):
        for w in range(3):
            cosines_of = [
                np.mean([cosine(TEXTS[w, i], crossed[j, q]) for j in part])
                for i, part in enumerate(parts)
                if there[w, i]
            ]
            expected[q, w] = np.mean(cosines_of)
    np.testing.assert_allclose(sub_action_scores(crossed, TEXTS, there), expected, atol=1e-6)
