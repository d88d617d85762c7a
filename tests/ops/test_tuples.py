"""Frame tuples against itertools, and their positions against the formula."""

from itertools import combinations

import jax
import numpy as np
import pytest

from mdmf_jax.ops.tuples import draw_tuples, frame_tuples, position_encoding, spread_tuples


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (5, 1), (6, 3), (4, 4)])
def test_all_tuples_in_order(frames, size):
    assert [tuple(t) for t in frame_tuples(frames, size)] == list(combinations(range(frames), size))


def test_fixed_tuples_are_spread_over_the_list_of_all():
    everything = [tuple(t) for t in frame_tuples(8, 4)]
    places = [everything.index(tuple(t)) for t in spread_tuples(8, 4, 7)]
    assert places == [5, 15, 25, 35, 45, 55, 65]
    np.testing.assert_array_equal(spread_tuples(6, 2, 15), frame_tuples(6, 2))


def test_drawn_tuples_differ_from_each_other_and_between_keys():
    everything = {tuple(t) for t in frame_tuples(6, 2)}
    draws = [
        [tuple(int(i) for i in t) for t in draw_tuples(jax.random.key(seed), 6, 2, 4)]
        for seed in range(20)
    ]
    assert all(len(set(draw)) == 4 and set(draw) <= everything for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 15
    assert {t for draw in draws for t in draw} == everything
    np.testing.assert_array_equal(draw_tuples(jax.random.key(0), 6, 2, 15), frame_tuples(6, 2))


@pytest.mark.parametrize("features", [6, 7])
def test_positions_are_sines_and_cosines(features):
    encoding = position_encoding(3, features)
    for place in range(3):
        for pair in range(features // 2):
            angle = place / 10000 ** (2 * pair / features)
            expected = 0.1 * np.sin(angle), 0.1 * np.cos(angle)
            np.testing.assert_allclose(encoding[place, 2 * pair : 2 * pair + 2], expected, 1e-6)
    assert encoding.shape == (3, features)
