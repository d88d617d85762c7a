"""Evaluations that are stopped and go on give the answers of one that was not."""

from functools import cache

import jax
import numpy as np
import pytest

from mdmf_jax.evaluation import partial
from mdmf_jax.evaluation.partial import PartialAnswers, inputs_key, resumed

EPISODES = {"index": np.arange(7), "support": np.arange(14).reshape(7, 2)}
FEATURES = {"frames": np.zeros((2, 3)), "patches": np.zeros((2, 1, 2))}


@cache
def inputs():
    return {"w": np.ones(3)}, FEATURES, np.ones((4, 3)), EPISODES, jax.random.key(1)


class Killed(Exception):
    pass


class Evaluator:
    """Answers episode i with 10 i, one after the other; may be killed before an episode."""

    def __init__(self, kill_before=None):
        self.asked, self.kill_before = [], kill_before

    def __call__(self, params, features, table, episodes, key, watch):
        done = []
        for index in episodes["index"].tolist():
            if index == self.kill_before:
                raise Killed
            self.asked.append(index)
            done.append(10 * index)
            watch({"prediction": np.array(done)})
        return {"prediction": np.array(done)}


@pytest.fixture(autouse=True)
def write_at_once(monkeypatch):
    monkeypatch.setattr(partial, "_SECONDS", 0)


def test_it_goes_on_after_the_last_written_answer(tmp_path):
    path = tmp_path / "x.partial"
    with pytest.raises(Killed):
        resumed(Evaluator(kill_before=3), path, *inputs())
    with pytest.raises(Killed):
        resumed(Evaluator(kill_before=5), path, *inputs())
    last = Evaluator()
    answers = resumed(last, path, *inputs())
    assert last.asked == [5, 6]
    np.testing.assert_array_equal(answers["prediction"], 10 * EPISODES["index"])
    again = Evaluator()
    np.testing.assert_array_equal(
        resumed(again, path, *inputs())["prediction"], answers["prediction"]
    )
    assert again.asked == []


@pytest.mark.parametrize("place", range(5))
def test_answers_to_other_inputs_do_not_count(tmp_path, place):
    path = tmp_path / "x.partial"
    with pytest.raises(Killed):
        resumed(Evaluator(kill_before=3), path, *inputs())
    features = FEATURES | {"patches": np.ones((2, 1, 2))}
    others = ({"w": np.zeros(3)}, features, np.zeros((4, 3)))
    others += (EPISODES | {"support": EPISODES["support"] + 1}, jax.random.key(2))
    changed = Evaluator()
    resumed(changed, path, *inputs()[:place], others[place], *inputs()[place + 1 :])
    assert changed.asked == list(range(7))


def test_a_damaged_file_does_not_count(tmp_path):
    path, key = tmp_path / "x.partial", inputs_key(inputs()[:3])
    PartialAnswers(path, key).keep({"prediction": np.arange(3)})
    assert PartialAnswers(path, key).count == 3
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 8
        path.write_bytes(damaged)
        assert PartialAnswers(path, key).count == 0
        path.write_bytes(content[:place])
        assert PartialAnswers(path, key).count == 0
