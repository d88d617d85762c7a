"""The wheel: built, installed into an empty environment, and used from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from torch_writer import write_state_dict

import mdmf_jax

pytestmark = pytest.mark.wheel
SOURCES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE")
FOLDERS = ("mdmf_jax", "configs", "splits")
PLACE = "import mdmf_jax, os; print(os.path.dirname(mdmf_jax.__file__))"
NAMES = "import mdmf_jax; print(mdmf_jax.FewShotClassifier, sorted(mdmf_jax.METHODS)[0])"
OWN_CONFIG = """
from mdmf_jax.config import defaults

def get_config(arg=""):
    config = defaults.get_config()
    config.update_from_flattened_dict({settings!r})
    return defaults.apply_argument(config, arg)
"""


def build_wheel(repository: Path, folder: Path) -> Path:
    """The wheel of a copy of the sources, so that nothing is left in the checkout."""
    copy = folder / "source"
    copy.mkdir()
    for name in SOURCES:
        shutil.copy(repository / name, copy)
    for name in FOLDERS:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(repository / name, copy / name, symlinks=True, ignore=leave)
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, copy)
    shutil.rmtree(copy)
    return next(folder.glob("*.whl"))


def pip(python: str | Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    done = subprocess.run([*command, *arguments, "--no-index"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def programs(repository, tmp_path_factory) -> Path:
    """Folder of `mdmf` and `python` of an environment with the wheel alone.

    The packages that it needs are those of this environment.
    """
    folder = tmp_path_factory.mktemp("wheel")
    venv.create(folder / "env", symlinks=True)
    found = folder / "env/bin"
    pip(found / "python", "install", "--no-deps", build_wheel(repository, folder))
    own = subprocess.check_output(
        [found / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        text=True,
    )
    Path(own.strip(), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """The folder that the programs are used from."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def run(programs, elsewhere):
    """Runs a program of the environment, which must succeed; returns what it printed."""
    hidden = ("PYTHONPATH", "XLA_FLAGS", "MDMF_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"MDMF_CACHE": str(elsewhere / "cache")}

    def run(program: str, *arguments: object) -> str:
        command = [str(programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def test_it_is_the_installed_package_that_runs(run, programs, repository):
    place = Path(run("python", "-c", PLACE).strip())
    assert place.is_relative_to(programs.parent)
    assert not place.is_relative_to(repository)
    assert run("mdmf", "--version") == f"mdmf_jax {mdmf_jax.__version__}\n"


def test_protocols_and_public_names_are_there(run):
    assert "hmdb51_arn" in run("mdmf", "splits", "list")
    assert run("python", "-c", NAMES).endswith("FewShotClassifier'> clip_fsar\n")


def test_doctor(run):
    said = run("mdmf", "doctor")
    assert "\nok       trial: " in said and "problem" not in said.split("trial")[0]


def test_a_packaged_config_is_trained_and_tested(run, videos, elsewhere):
    changed = {
        "data.dataset": "folders",
        "data.root": videos,
        "method": "trx",
        "trx.cardinalities": "(2,)",
        "trx.width": 8,
        "episode.way": 2,
        "episode.queries": 1,
        "train.steps": 2,
        "train.episodes_per_step": 1,
        "train.validate_episodes": 2,
        "eval.way": 2,
        "eval.shots": "(1,)",
        "eval.episodes": 2,
        "eval.untrained": False,
    }
    settings = [f"--config.{name}={value}" for name, value in changed.items()]
    assert "2-way" in run("mdmf", "train", "--config=demo", "--workdir=run", *settings)
    said = run("mdmf", "eval", "--checkpoint=run", "--shot=2", "--episodes=3")
    assert "2-way 2-shot accuracy on test classes" in said
    assert (elsewhere / "run/eval_test_2way_2shot.json").is_file()


def test_a_config_file_by_its_path(run, tiny, elsewhere):
    text = OWN_CONFIG.format(settings=tiny | {"method": "otam", "train.steps": 0})
    (elsewhere / "mine.py").write_text(text)
    said = run("mdmf", "eval", "--config=mine.py:shot=2", "--episodes=3")
    assert "2-way 2-shot accuracy on test classes" in said


def test_a_published_checkpoint_is_imported(run, mdmf_tensors, clip_folder, elsewhere):
    names = {n.replace("backbone.", "backbone.module."): x for n, x in mdmf_tensors.items()}
    write_state_dict(elsewhere / "published.pt", names, "model_state_dict")
    said = run("mdmf", "import", "published.pt", "imported", f"--encoder={clip_folder}")
    assert "CLIP-MDMF checkpoint" in said
    assert (elsewhere / "imported/checkpoints/0").is_dir()
