"""The pages of docs/guide: their commands exist, their links lead somewhere, their code runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mdmf_jax.cli import main as cli

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "docs/guide").glob("*.md"))
BLOCK = re.compile(r"^```(sh|python)( not-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Where the pages say they are: what they use of the repository.
USED = ("train.py", "eval.py", "configs", "splits", "mdmf_jax", "launch")


def blocks(page: Path) -> list[tuple[str, bool, str]]:
    """(language, whether it can be run here, code) of the code blocks of a page."""
    return [(kind, not mark, code) for kind, mark, code in BLOCK.findall(page.read_text())]


def commands(page: Path) -> list[list[str]]:
    """Arguments of each `mdmf` on a page."""
    found = []
    for kind, _, code in blocks(page):
        lines = code.replace("\\\n", " ").splitlines() if kind == "sh" else []
        for line in lines:
            words = shlex.split(line, comments=True)
            while words and re.fullmatch("[A-Z_]+=.*", words[0]):  # JAX_PLATFORMS=cpu mdmf ...
                words = words[1:]
            if words[:1] == ["mdmf"]:
                words = [re.sub(r"\$\w+", "0", word) for word in words if word != "&"]
                found.append(words[1:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page):
    assert commands(page)
    for arguments in commands(page):
        assert cli.parse(arguments).run  # an unknown command or option is an error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables that make `python` this one and `mdmf` its, with an empty cache unless MDMF_CACHE
    names one."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "mdmf").write_text(f'#!/bin/sh\nexec {sys.executable} -m mdmf_jax "$@"\n')
    (programs / "mdmf").chmod(0o755)
    cache = os.environ.get("MDMF_CACHE") or str(tmp_path_factory.mktemp("cache"))
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"MDMF_CACHE": cache, "PATH": path, "XLA_FLAGS": ""}


def run(folder: Path, environment, command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo_run(environment, tmp_path_factory):
    """A demo run in place of that of `make demo`, with fewer steps and episodes."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    config = {"train.steps": 50, "eval.episodes": 50, "eval.untrained": False}
    settings = [f"--config.{name}={value}" for name, value in config.items()]
    command = ["train.py", "--config=configs/demo.py", f"--workdir={folder}", *settings]
    run(REPOSITORY, environment, [sys.executable, *command])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_as_written(page, environment, demo_run, tmp_path):
    for name in USED:
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/demo").symlink_to(demo_run)
    ran = 0
    for kind, can_run, code in blocks(page):
        if can_run:
            shell = ["bash", "-euo", "pipefail", "-c", code]
            run(tmp_path, environment, shell if kind == "sh" else [sys.executable, "-c", code])
            ran += 1
    assert ran >= 3
