import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mdmf_jax.cli.main import main
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.protocols.protocol import load
from mdmf_jax.data.videos.source_shards import Shards


@pytest.fixture(scope="module")
def coded():
    return encode_mp4(np.full((4, 32, 40, 3), 90, np.uint8))


@pytest.fixture
def kinetics(tmp_path, coded):
    """Two videos of one class of each split; the lists name a third, and one of another class."""
    protocol = load("kinetics_cmn")
    for split in ("train", "val", "test"):
        here, other = [class_.folder for class_ in protocol.classes_of(split)][:2]
        lines = [f"{here}/one", f"{here}/two two", f"{here}/gone", f"{other}/gone too"]
        for name in ("one", "two_two"):
            path = tmp_path / "videos" / here.replace(" ", "_") / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(coded)
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / f"{split}list.txt").write_text("\n".join(lines))
    return tmp_path


def command(folder, *more):
    return [
        "prepare", f"--videos={folder / 'videos'}", f"--lists={folder / 'lists'}",
        "--protocol=kinetics_cmn", f"--out={folder / 'out'}", "--size=32", "--workers=1", *more,
    ]  # fmt: skip


def rows(printed):
    """Cells of the table."""
    lines = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│")]
    return [tuple(cell.strip() for cell in line) for line in lines]


def test_protocol_with_videos_missing_and_broken(kinetics, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    broken = next((kinetics / "videos").iterdir()) / "one.mp4"
    broken.write_text("[red]no video[/red]")
    assert main(command(kinetics)) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: 1 of 6 videos failed (16.7%), more than --max-failed=0.01")
    assert not (kinetics / "out" / "prepared.json").exists()

    assert main(command(kinetics, "--max-failed=0.2")) == 0
    printed = capsys.readouterr().out
    table = rows(printed)
    protocol = load("kinetics_cmn")
    for split in ("train", "val", "test"):
        classes = protocol.classes_of(split)
        lines = [row for row in table if row[0] == split]
        counts = {row[1]: row[2:4] for row in lines}
        assert len(lines) == len(classes) + 1  # no class is complete
        assert counts[classes[1].folder] == ("0", str(classes[1].count))
        total = f"{sum(class_.count for class_ in classes):,}"
        assert counts["all"][1] == total
    assert sorted(row[2] for row in table if row[1] == "all") == ["1", "2", "2"]
    assert [row[4] for row in table if row[1] == "all"].count("1") == 1
    assert "6 listed videos are not in the folder (first: " in printed
    assert "1 of 6 videos failed (16.7%)" in printed
    summary = json.loads((kinetics / "out" / "prepared.json").read_text())
    assert summary["protocol"] == "kinetics_cmn"
    split = Shards(kinetics / "out", "test").split
    first = protocol.classes_of("test")[0]
    assert (split.folders, split.names, split.prompts) == (
        (first.folder,), (first.name,), (first.prompt,)
    )  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ("--protocol=kinetics", "kinetics_cmn"),
        ("--videos=/no/such/folder", "/no/such/folder"),
        ("--workers=0", "--workers=0 is out of range"),
        ("--lists=", "lists of videos"),
    ],
)
def test_wrong_arguments(kinetics, capsys, change, message):
    assert main(command(kinetics, change)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_the_protocol_is_required_and_has_an_older_name(kinetics, capsys):
    without = [word for word in command(kinetics) if not word.startswith("--protocol")]
    assert main(without) == 2
    assert "error: the following arguments are required: --protocol" in capsys.readouterr().err
    assert main([*without, "--split=no_such"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == "warning: --split is now --protocol; use that name"
    assert error.startswith("error: protocol 'no_such' is unknown")


def test_prepared_data_are_not_prepared_again(kinetics, capsys):
    (kinetics / "videos" / "prepared.json").write_text("{}")
    assert main(command(kinetics)) == 2
    assert "is prepared already" in capsys.readouterr().err


def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path, coded, repository):
    for number in range(1200):
        path = tmp_path / "videos" / "test" / "class" / f"{number:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coded)
    arguments = ["prepare", f"--videos={tmp_path / 'videos'}", "--protocol=folders"]
    arguments += [f"--out={tmp_path / 'out'}", "--size=32", "--workers=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mdmf_jax", *arguments], start_new_session=True, cwd=repository,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and len(list(tmp_path.glob("out/.staging/*"))) < 20:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error, error
    assert "stopped; the same command goes on from here" in error
    done = len(list(tmp_path.glob("out/.staging/*.frames")))
    assert 0 < done < 1200 and not list(tmp_path.glob("out/.staging/.*.tmp"))
    assert main(arguments) == 0
    assert len(Shards(tmp_path / "out", "test")) == 1200
