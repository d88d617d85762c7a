"""Two runs cannot share a folder."""

import subprocess
import sys

import pytest

from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.lock import FolderLock

HOLD = """
import sys, time
from pathlib import Path
from mdmf_jax.training.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_the_owner_named(tmp_path, repository):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repository) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match=f"in use by .*process {other.pid} on "):
            FolderLock(tmp_path / "run").__enter__()
        other.kill()  # As hard as kill -9: nothing is tidied up.
    with FolderLock(tmp_path / "run"):
        pass


def test_it_is_free_again_after_use(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path):
            pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written to .*take another folder"):
        FolderLock(tmp_path / "file" / "run").__enter__()
