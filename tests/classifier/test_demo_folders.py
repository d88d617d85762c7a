"""The folders to try the commands on."""

import csv

import pytest

from mdmf_jax.classifier import demo_folders
from mdmf_jax.data.demo.dataset import demo_classes, demo_folder
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import DataError


def test_classes_are_of_the_test_part():
    assert {*demo_folders.KNOWN, *demo_folders.FOREIGN} <= set(demo_classes("test"))
    assert not set(demo_folders.KNOWN) & set(demo_folders.FOREIGN)


@pytest.fixture
def small_demo(monkeypatch, tmp_path):
    """Videos of 6 or 7 grey frames in place of the demo's."""
    import numpy as np

    root = tmp_path / "cache"
    for pair in demo_folders.KNOWN + demo_folders.FOREIGN:
        name = demo_folder(*pair)
        (root / "videos" / name).mkdir(parents=True)
        for clip in range(1, 14):
            frames = np.full((6 + clip % 2, 16, 16, 3), 10 * clip, np.uint8)
            (root / "videos" / name / f"{name}_{clip:04d}.mp4").write_bytes(encode_mp4(frames))
    monkeypatch.setattr(demo_folders, "ensure_demo", lambda: root)


def test_folders(small_demo, tmp_path):
    out = demo_folders.write_demo_folders(tmp_path / "demo")
    assert [len(list(f.iterdir())) for f in (out / "support").iterdir()] == [3] * 5
    assert [len(list(f.iterdir())) for f in (out / "test").iterdir()] == [10] * 8
    rows = list(csv.DictReader((out / "long.csv").read_text().splitlines()))
    frames = read_video(out / "long" / "long.mp4")
    assert float(rows[-1]["end"]) * 12 == pytest.approx(len(frames))
    assert all(a["end"] == b["start"] for a, b in zip(rows, rows[1:], strict=False))
    assert all(a["label"] != b["label"] for a, b in zip(rows, rows[1:], strict=False))
    assert {row["label"] for row in rows} == {demo_folder(*pair) for pair in demo_folders.KNOWN}
    with pytest.raises(DataError, match="exists already"):
        demo_folders.write_demo_folders(out)
