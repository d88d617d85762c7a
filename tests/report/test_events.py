"""Numbers that a run wrote, read back."""

import math

import pytest
from tensorboardX import SummaryWriter

from mdmf_jax.report.events import read_curves, read_scalars
from mdmf_jax.training.scalars import ScalarWriter


def write(folder, suffix, steps, offset):
    with SummaryWriter(str(folder), filename_suffix=suffix) as writer:
        for step in steps:
            writer.add_scalar("train/total", step + offset, step)
            writer.add_scalar("validation/accuracy", 0.5, step)


def test_a_run_that_went_on_counts_from_there(tmp_path):
    write(tmp_path, ".a", range(1, 5), 0.0)
    write(tmp_path, ".b", range(3, 7), 0.25)
    curves = read_scalars(tmp_path)
    assert sorted(curves) == ["train/total", "validation/accuracy"]
    assert curves["train/total"] == [(1, 1), (2, 2), (3, 3.25), (4, 4.25), (5, 5.25), (6, 6.25)]


@pytest.mark.parametrize("kept", [5, 40, 100])
def test_a_file_cut_short_counts_up_to_there(tmp_path, kept):
    write(tmp_path, "", range(1, 5), 0.0)
    (file,) = tmp_path.iterdir()
    whole = read_scalars(tmp_path)["train/total"]
    file.write_bytes(file.read_bytes()[:-kept])
    curves = read_scalars(tmp_path)
    assert curves["train/total"] == whole[: len(curves["train/total"])]
    assert len(curves["validation/accuracy"]) < 4


def test_damage_and_absence(tmp_path):
    assert read_scalars(tmp_path / "none") == {}
    (tmp_path / "events.out.tfevents.1.x").write_bytes(b"\xff" * 100)
    assert read_scalars(tmp_path) == {}


def test_curves_are_those_of_the_metrics_file(tmp_path):
    writer = ScalarWriter(tmp_path)
    for step in (2, 4, 6):
        writer.write("train", step, {"loss": 0.1 * step})
    writer.write("validation", 6, {"accuracy": float("nan")})
    writer.close()
    # What an interrupted run left in TensorBoard's files does not count.
    write(tmp_path / "tensorboard", ".z", range(5, 9), 0.0)
    curves = read_curves(tmp_path)
    assert sorted(curves) == ["train/loss", "validation/accuracy"]
    assert curves["train/loss"] == [(step, 0.1 * step) for step in (2, 4, 6)]
    ((step, value),) = curves["validation/accuracy"]
    assert step == 6 and math.isnan(value)


def test_curves_of_older_runs_are_those_of_tensorboard(tmp_path):
    write(tmp_path / "tensorboard", ".old", range(1, 5), 0.25)
    curves = read_curves(tmp_path)
    assert curves == read_scalars(tmp_path / "tensorboard")
    assert curves["train/total"][0] == (1, 1.25)
    writer = ScalarWriter(tmp_path, start=2)  # Goes on with metrics.jsonl from there.
    for step in (3, 4):
        writer.write("train", step, {"total": 10.5})
    writer.close()
    assert read_curves(tmp_path)["train/total"] == [(1, 1.25), (2, 2.25), (3, 10.5), (4, 10.5)]
    assert read_curves(tmp_path / "none") == {}
