"""Which steps are traced, and that the trace names them."""

import gzip
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from mdmf_jax.errors import ConfigError
from mdmf_jax.training.profile import StepProfile, step_profile


def traced_steps(folder, first, count, start, steps):
    """Numbers of the steps that a trace of a loop holds, and what was said after each."""
    add, said = jax.jit(lambda x: x + 1), {}
    with StepProfile(folder, first, count, steps) as profile:
        for step in range(start + 1, steps + 1):
            profile.before(step)
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                result = add(jnp.float32(step))
            said[step] = profile.after(step, result)
    found = set()
    for file in folder.rglob("*.trace.json.gz"):
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
        found |= {int(e["args"]["step_num"]) for e in events if e.get("name") == "train"}
    return sorted(found), {step: words for step, words in said.items() if words}


@pytest.mark.parametrize(
    ("first", "count", "start", "steps", "traced"),
    [
        (2, 2, 0, 5, [2, 3]),
        (1, 1, 0, 3, [1]),
        (4, 9, 0, 5, [4, 5]),
        (2, 3, 2, 6, [3, 4]),  # a run that goes on inside the traced steps
    ],
)
def test_traced_are_the_steps_asked_for(tmp_path, first, count, start, steps, traced):
    found, said = traced_steps(tmp_path / "profile", first, count, start, steps)
    assert found == traced
    assert list(said) == [traced[-1]] and str(tmp_path / "profile") in said[traced[-1]]


@pytest.mark.parametrize(("first", "start"), [(0, 0), (2, 4)])
def test_else_nothing_is_written(tmp_path, first, start):
    assert traced_steps(tmp_path / "profile", first, 2, start, 6) == ([], {})
    assert not (tmp_path / "profile").exists()


def test_a_loop_that_fails_ends_its_trace(tmp_path):
    for name in "ab":
        with pytest.raises(KeyError), StepProfile(tmp_path / name, 1, 5, 9) as profile:
            profile.before(1)
            raise KeyError
        assert list((tmp_path / name).rglob("*.xplane.pb"))


def test_steps_come_from_the_settings(tmp_path):
    train = SimpleNamespace(profile_from=7, profile_steps=2, steps=6)
    with pytest.raises(ConfigError, match="train.profile_from is 7, but the training has 6"):
        step_profile(train, tmp_path)
    train.steps = 7
    with step_profile(train, tmp_path) as profile:
        profile.before(7)
        assert "step 7" in profile.after(7, ())
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    with step_profile(train, None) as profile:  # a process that writes nothing
        profile.before(7)
        assert profile.after(7, ()) is None
