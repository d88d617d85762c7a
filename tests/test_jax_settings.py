"""The settings of the tests themselves: what is compiled is kept, and nothing stale is used."""

import os
import subprocess
import sys

import jax
import jax_settings
import jaxtyping
import numpy as np
import pytest
from jax._src import compiler

from mdmf_jax.ops.similarity import norm, pairwise_cosine


def test_shapes_are_checked_while_the_tests_run():
    with pytest.raises(jaxtyping.TypeCheckError, match="pairwise_cosine"):
        pairwise_cosine(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    with pytest.raises(jaxtyping.TypeCheckError, match="norm"):
        jax.jit(norm)(np.ones((2, 3), np.int32))


PROGRAM = """
import sys, jax
add = float(sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(float(jax.jit(lambda x: x * 3 + add)(1.0)))
"""


def stored(folder, add, **environment):
    """Runs the program with a cache of its own; what it printed, and the programs kept by then."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder)} | environment
    command = [sys.executable, "-c", PROGRAM, str(add)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout), {path.name for path in folder.glob("*-cache")}


def test_another_program_or_level_is_compiled_anew(tmp_path):
    value, first = stored(tmp_path, 1)
    assert value == 4 and first
    assert stored(tmp_path, 1) == (4, first)
    value, second = stored(tmp_path, 2)
    assert value == 5 and second > first
    value, third = stored(tmp_path, 2, JAX_DISABLE_MOST_OPTIMIZATIONS="0")
    assert value == 5 and third > second


def test_half_written_programs_are_removed(tmp_path):
    for name in ("a-cache", "a-atime", "b-cache", "c-atime"):
        (tmp_path / name).touch()
    jax_settings.tidy(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a-cache", "a-atime", "c-atime"}


def optimisation_level():
    options = compiler.get_compile_options(1, 1).executable_build_options
    return options.debug_options.xla_backend_optimization_level


def test_most_tests_compile_in_a_hurry():
    assert optimisation_level() == 0


@pytest.mark.optimised
def test_some_tests_compile_as_users_do():
    assert optimisation_level() == 3
    assert os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "0"  # for programs that they start


@pytest.mark.devices
def test_several_devices():
    assert jax.device_count() == jax_settings.DEVICES


def test_made_once_makes_once(made_once):
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "x").write_text("1")

    assert made_once("of_this_test", make) == made_once("of_this_test", make)
    assert len(calls) == 1 and (calls[0] / "x").read_text() == "1"


def test_what_was_half_made_is_made_again(made_once):
    def fail(folder):
        (folder / "rest").touch()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        made_once("half_made", fail)
    assert list(made_once("half_made", lambda folder: None).iterdir()) == []
