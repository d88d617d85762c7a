"""metrics.jsonl: what it holds, and what is left of it when a run is killed."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from mdmf_jax.errors import UserError
from mdmf_jax.report.events import read_scalars
from mdmf_jax.training.scalars import MetricsFile, ScalarWriter, read_metrics

WRITER = """
import sys
from pathlib import Path
from mdmf_jax.training.scalars import MetricsFile
file = MetricsFile(Path(sys.argv[1]), 0)
step = 0
while True:
    step += 1
    file.write("train", step, {f"name {n}": step + 0.5 for n in range(50)})
    if step == 200:
        print("ready", flush=True)
"""


def lines(path):
    """As another program reads it; NaN and its like are not JSON."""

    def refused(word):
        raise ValueError(word)

    return [json.loads(x, parse_constant=refused) for x in path.read_text().splitlines()]


def write(path, start, steps, loss):
    file = MetricsFile(path, start)
    for step in steps:
        file.write("train", step, {"loss": loss})
        if step % 2 == 0:
            file.write("validation", step, {"accuracy": 0.5})
    file.close()


def test_one_object_a_line_beside_tensorboard(tmp_path):
    writer = ScalarWriter(tmp_path / "run")
    writer.write("train", 2, {"loss": 1.5, "gradient_norm": math.inf, "updated": True})
    writer.write("validation", 2, {"accuracy": 0.25})
    writer.close()
    train, validation = lines(tmp_path / "run" / "metrics.jsonl")
    assert train.pop("time") <= validation.pop("time")
    metrics = {"loss": 1.5, "gradient_norm": None, "updated": 1.0}
    assert train == {"step": 2, "kind": "train", "metrics": metrics}
    assert validation == {"step": 2, "kind": "validation", "metrics": {"accuracy": 0.25}}
    assert read_scalars(tmp_path / "run" / "tensorboard")["train/loss"] == [(2, 1.5)]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = ScalarWriter(None)
    writer.write("train", 1, {"loss": 1.0})
    writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [0, 3, 4, 7, 9])
def test_a_run_that_goes_on_tells_one_history(tmp_path, start):
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    write(twice, 0, range(1, 8), 1.0)
    write(twice, start, range(start + 1, 11), 2.0)
    write(once, 0, range(1, 11), 1.0)
    found, expected = lines(twice), lines(once)
    gap = range(8, start + 1)  # steps that the first run never came to
    assert [(x["step"], x["kind"]) for x in found] == [
        (x["step"], x["kind"]) for x in expected if x["step"] not in gap
    ]
    losses = {x["step"]: x["metrics"]["loss"] for x in found if x["kind"] == "train"}
    assert losses == {n: 1.0 if n <= min(start, 7) else 2.0 for n in losses}


@pytest.mark.parametrize("rest", [b'{"step": 3, "kind"', b"\x00\xff\n", b'{"step": 2}\n', b"[]\n"])
def test_damaged_lines_are_left_out(tmp_path, rest):
    path = tmp_path / "metrics.jsonl"
    write(path, 0, range(1, 4), 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    assert list(read_metrics(path)) == lines_of(whole)
    MetricsFile(path, 3).close()
    assert path.read_bytes() == whole


def lines_of(content):
    return [json.loads(line) for line in content.splitlines()]


def test_a_killed_run_leaves_whole_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert [line["step"] for line in lines(path)] == list(range(1, content.count(b"\n") + 1))
    assert content.count(b"\n") >= 200


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="metrics.jsonl: cannot be written"):
        MetricsFile(tmp_path / "metrics.jsonl", 0)
    file = MetricsFile(tmp_path / "other.jsonl", 0)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._stream.fileno())
    os.close(full)
    with pytest.raises(UserError, match="other.jsonl: cannot be written .No space left"):
        file.write("train", 1, {"loss": 1.0})
    file.close()
