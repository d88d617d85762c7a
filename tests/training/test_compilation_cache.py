"""The folder of compiled programs: where it is, how it is switched off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdmf_jax.training.compilation_cache import FOLDER, cache_folder, switch_on


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MDMF_CACHE": "/cache"}, Path("/cache/compiled")),
        ({"MDMF_COMPILATION_CACHE": "/programs"}, Path("/programs")),
        ({"MDMF_COMPILATION_CACHE": "off"}, None),
    ],
)
def test_folder(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == expected


def test_what_jax_was_told_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, "/elsewhere")
    monkeypatch.setenv("MDMF_COMPILATION_CACHE", str(tmp_path))
    switch_on()
    assert os.environ[FOLDER] == "/elsewhere"


PROGRAM = """
import sys
if sys.argv[1] == "jax first":
    import jax
from mdmf_jax.training.compilation_cache import switch_on
switch_on()
import jax
print(float(jax.jit(lambda x: x * 2)(1.5)))
"""


@pytest.mark.parametrize("order", ["jax first", "jax last"])
def test_a_second_process_compiles_nothing(order, tmp_path, repository):
    names = [name for name in os.environ if name.startswith("JAX_") and "CACHE" in name]
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment |= {"MDMF_COMPILATION_CACHE": str(tmp_path), "PYTHONPATH": str(repository)}
    stored = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, order],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "3.0\n", "")
        stored.append({p.name for p in tmp_path.iterdir() if p.name.endswith("-cache")})
    assert stored[0] and stored[0] == stored[1]
