"""300 videos, 12 of them broken, prepared by the command, killed and started again."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time

import made_videos as made
import numpy as np
import pytest

from mdmf_jax.data.videos.source_shards import Shards

CLASSES, EACH = 12, 24


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    for class_ in range(CLASSES):
        split = "train" if class_ < 8 else "test"
        for number in range(EACH):
            frames = made.pictures(10 + number, 60, 80, first=class_ * 50 + number)
            made.write(root / split / f"class {class_}" / f"{number:02d}.mp4", frames)
    made.broken_videos(root / "train" / "class 3")
    return root


def command(root, out, workers):
    settings = ["--size=48", "--timeout=10", "--max-frames=300", "--max-failed=0.05"]
    program = [sys.executable, "-m", "mdmf_jax", "prepare", "--protocol=folders"]
    return [*program, f"--videos={root}", f"--out={out}", f"--workers={workers}", *settings]


def checksums(out):
    files = out.glob("prepared_videos/1.0.0/*array_record*")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_300_videos_of_which_12_are_broken(root, tmp_path, repository):
    environment = os.environ | {"PYTHONPATH": str(repository)}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 600}
    whole = subprocess.run(command(root, tmp_path / "whole", 3), **options)
    assert whole.returncode == 0, whole.stderr
    assert "12 of 300 videos failed (4.0%)" in whole.stdout
    with open(tmp_path / "whole" / "failed.csv", newline="") as file:
        failed = dict(list(csv.reader(file))[1:])
    reasons = made.broken_videos(tmp_path / "class 3", endless=False)
    reasons |= {"class 3/endless.mkv": "took longer than", "class 3/many.mkv": "more than 300"}
    assert len(failed) == 12 and failed.keys() == {f"train/{path}" for path in reasons}
    for path, words in reasons.items():
        assert words in failed[f"train/{path}"]

    killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            command(root, tmp_path / "killed", 2), env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        goal = len(list((tmp_path / "killed").glob(".staging/*"))) + 60
        while process.poll() is None:
            if len(list((tmp_path / "killed").glob(".staging/*"))) >= goal:
                os.killpg(process.pid, signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.02)
    assert killed == 3
    resumed = subprocess.run(command(root, tmp_path / "killed", 2), **options)
    assert resumed.returncode == 0, resumed.stderr
    sums = checksums(tmp_path / "whole")
    assert len(sums) == 7 + 3 and checksums(tmp_path / "killed") == sums
    shards = Shards(tmp_path / "killed", "train")
    np.testing.assert_array_equal(shards.split.counts, [EACH] * 8)
