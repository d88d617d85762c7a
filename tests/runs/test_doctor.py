"""`doctor`: what it finds, what it says about it, and its exit code."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mdmf_jax.cli import doctor
from mdmf_jax.cli import main as cli
from mdmf_jax.errors import DataError
from mdmf_jax.runs.doctor import installation, machine
from mdmf_jax.runs.doctor.check import Check, run_checks


@pytest.fixture
def only(monkeypatch):
    """Makes `doctor` look at one thing."""

    def choose(name, function):
        monkeypatch.setattr(doctor, "_checks", lambda: [(name, function, "try again")])

    return choose


def test_all_is_well(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path))
    assert cli.main(["doctor", "--json"]) == 0
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    well = ("versions", "devices", "decoder", "cache folder", "compiled programs", "trial")
    assert [found[name]["state"] for name in well] == ["ok"] * len(well)
    assert str(tmp_path) in found["cache folder"]["found"]
    assert len(found) == 9
    assert "no encoder for real videos" in found["trial"]["found"]


def test_a_folder_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path, only, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path / "file/[b]cache"))
    only("cache folder", machine.cache)
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problem  cache folder: " in out and "file/[b]cache: cannot be written" in out
    assert "to mend: set MDMF_CACHE" in out and out.endswith("1 problem\n")


def test_compiled_programs_are_not_needed(monkeypatch, tmp_path, only, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    only("compiled programs", machine.compiled)
    monkeypatch.setenv("MDMF_COMPILATION_CACHE", "off")
    assert machine.compiled().state == "warning"
    monkeypatch.setenv("MDMF_COMPILATION_CACHE", str(tmp_path / "file/cache"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file/cache"))
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("1 warning\n")


def test_a_disk_that_is_nearly_full(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "LEAST_DISK", 2**80)
    check = machine.folder_check("x", tmp_path / "a/b", "go elsewhere")
    assert (check.state, check.mend) == ("warning", "delete files, or go elsewhere")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("limit", "expected"), [("max", 3 << 20), ("1048576", 1 << 20)])
def test_memory_counts_the_limit_of_a_container(tmp_path, limit, expected):
    (tmp_path / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:   3072 kB\n")
    (tmp_path / "max").write_text(limit + "\n")
    files = tmp_path / "meminfo", tmp_path / "max"
    assert machine.available_memory(*files) == expected
    assert machine.available_memory(tmp_path / "absent", files[1]) is None


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(installation, "NEEDED", ("numpy", "no-such-package"))
    check = installation.versions()
    assert (check.state, check.mend) == ("problem", "pip install no-such-package")
    assert f"numpy {np.__version__}" in check.found


def test_a_decoder_that_gives_other_pictures(monkeypatch):
    black = np.zeros((8, 64, 64, 3), np.uint8)
    monkeypatch.setattr("mdmf_jax.data.videos.video.read_video", lambda path: black)
    assert installation.decoder().state == "problem"
    monkeypatch.setattr("mdmf_jax.data.videos.video.read_video", lambda path: black[:3])
    assert "[3, 64, 64, 3]" in installation.decoder().found


def test_a_model_that_confuses_its_own_videos(monkeypatch):
    clip = np.full((8, 64, 64, 3), 100, np.uint8)
    monkeypatch.setattr("mdmf_jax.data.demo.dataset.demo_clip", lambda *arguments: clip)
    assert installation.trial().state == "problem"


def test_packages_that_are_optional(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installation.tensorflow().state == installation.flatbuffers().state == "warning"


def test_tensorflow_is_not_imported():
    code = "import sys; from mdmf_jax.runs.doctor import installation as i; i.tensorflow(); "
    code += "sys.exit('tensorflow' in sys.modules or 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    "error", [ImportError("a\nb"), OSError("a b"), DataError("a b"), RuntimeError("a b")]
)
def test_a_check_that_fails_is_a_problem(error):
    def broken():
        raise error

    assert list(run_checks([("x", broken, "mend it")])) == [Check("x", "problem", "a b", "mend it")]
