"""Numbers that tensorboardX wrote, read back."""

import pytest
from tensorboardX import SummaryWriter

from mdmf_jax.report.events import read_scalars


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
