import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys

import made_videos as made
import numpy as np
import pytest
from PIL import Image

from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.run import prepare
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.data.videos.source_shards import Shards
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import ConfigError, DataError

SIZE = 24
LIMITS = Limits(timeout=4, max_frames=300)


def checksums(out):
    files = sorted(out.glob("prepared_videos/1.0.0/*array_record*"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def splits(root):
    return [load_split(root, "", split) for split in ("train", "test")]


def run(root, out, **options):
    options = {"images": Images(SIZE, 90), "limits": LIMITS, "max_failed": 0.5} | options
    return prepare(root, splits(root), out, shard_videos=5, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """train: good videos of many kinds, and broken ones; test: two videos of each class."""
    root = tmp_path_factory.mktemp("videos")
    made.good_videos(root / "train" / "good one's #1")
    made.broken_videos(root / "train" / "bad (12)")
    for class_ in ("aab", "aaa"):
        for number in range(2):
            made.write(root / "test" / class_ / f"{number}.mp4", made.pictures(4, first=number))
    return root


@pytest.fixture(scope="module")
def prepared(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    calls = []
    report = run(root, out, progress=lambda *counts: calls.append(counts))
    assert calls[0] == (0, 30, 0) and calls[-1] == (30, 30, 12) and len(calls) == 31
    return out, report


def test_broken_files_are_listed_with_the_reason(prepared):
    out, report = prepared
    reasons = made.broken_videos(out.parent / "bad (12)", endless=False)
    reasons |= {"bad (12)/endless.mkv": "took longer than", "bad (12)/many.mkv": "more than 300"}
    with open(out / "failed.csv", newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["path", "reason"]
    assert [path for path, _ in rows] == sorted(f"train/{path}" for path in reasons)
    for path, reason in rows:
        assert reasons[path.removeprefix("train/")] in reason
        assert "\n" not in reason and path not in reason
    assert report.complete and report.share_failed == 12 / 30
    assert report.good == [[0, 14], [2, 2]]


def test_every_good_video_is_there_frame_by_frame(root, prepared):
    out, _ = prepared
    shards, split = Shards(out, "train"), splits(root)[0]
    assert shards.split.folders == ("good one's #1",)
    good = [path for path in split.paths if "good" in path]
    assert [path.removeprefix("train/").rpartition(".")[0] for path in good] == list(
        shards.split.ids
    )
    for item, path in enumerate(good):
        whole = read_video(root / path)
        assert shards.num_frames(item) == len(whole)
        height, width = whole.shape[1:3]
        scale = SIZE / min(height, width)
        size = int(scale * width + 1e-9), int(scale * height + 1e-9)
        wanted = [len(whole) - 1, 0, 0, 1]
        for frame, number in zip(shards.frames(item, wanted), wanted, strict=True):
            buffer = io.BytesIO()
            image = Image.fromarray(whole[number]).resize(size, Image.Resampling.BILINEAR)
            image.save(buffer, "JPEG", quality=90)
            np.testing.assert_array_equal(frame, np.asarray(Image.open(buffer)))
        np.testing.assert_array_equal(shards.all_frames(item)[wanted], shards.frames(item, wanted))


def test_durations(root, prepared):
    shards = Shards(prepared[0], "train")
    seconds = dict(zip(shards.split.ids, shards.seconds.tolist(), strict=True))
    assert seconds["good one's #1/short"] == pytest.approx(6 / 25)
    assert seconds["good one's #1/uneven"] == pytest.approx(0.44 * 4 / 3, abs=1e-3)


def test_shards_are_a_data_set_of_tensorflow_datasets(prepared):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(prepared[0] / "prepared_videos" / "1.0.0"))
    records = builder.as_data_source("test")
    assert len(records) == 4 * 4 and len(builder.info.splits["test"].shard_lengths) == 1
    shards = Shards(prepared[0], "test")
    record = records[9]  # the second frame of the third video
    assert (record["id"], record["class"]) == (b"aab/0", b"aab")
    assert (record["frame"], record["frames"]) == (1, 4)
    assert record["duration"] == pytest.approx(4 / 25)
    image = np.asarray(Image.open(io.BytesIO(record["jpeg"])))
    np.testing.assert_array_equal(image, shards.frames(2, [1])[0])


def test_index_and_summary(prepared):
    out, _ = prepared
    summary = json.loads((out / "prepared.json").read_text())
    assert (summary["size"], summary["quality"]) == (SIZE, 90)
    split = summary["splits"]["train"]
    assert (split["videos"], split["failed"]) == (14, 12)
    index = json.loads((out / "train.index.json").read_text())
    assert sum(index["frames"]) == sum(records for _, records in split["shards"])
    assert [
        size
        for name, *size in zip(index["id"], index["width"], index["height"], strict=True)
        if name.endswith("turned")
    ] == [[SIZE, 32]]
    assert not (out / ".staging").exists()


def test_what_version_0_1_0_prepared_is_read(prepared, tmp_path):
    """It called the splits parts; the rest of its files is as today's."""
    out, _ = prepared
    for path in out.iterdir():
        (tmp_path / path.name).symlink_to(path)
    summary = json.loads((out / "prepared.json").read_text())
    summary["parts"] = summary.pop("splits")
    (tmp_path / "prepared.json").unlink()
    (tmp_path / "prepared.json").write_text(json.dumps(summary))
    old, new = Shards(tmp_path, "train"), Shards(out, "train")
    assert old.split == new.split and len(old) == 14
    np.testing.assert_array_equal(old.all_frames(3), new.all_frames(3))
    with pytest.raises(DataError, match="has no split 'val'"):
        Shards(tmp_path, "val")


@pytest.fixture(scope="module")
def few(root, tmp_path_factory):
    """A data set without the files that cost seconds, and its shards."""
    few = tmp_path_factory.mktemp("few")
    (few / "test").symlink_to(root / "test")
    made.good_videos(few / "train" / "good")
    (few / "train" / "good" / "broken.mp4").write_bytes(b"text")
    run(few, few / "out", workers=1)
    return few


def test_same_shards_after_kill_whatever_the_workers(few):
    """The main process is killed after it finished a few videos; its workers end by themselves."""
    code = (
        "import sys, test_prepare as t, pathlib\n"
        "from mdmf_jax.data.prepare import pool as p\n"
        "stop = iter(range(5))\n"
        "def show(done, total, failed):\n"
        "    if next(stop, None) is None: p.os.kill(p.os.getpid(), p.signal.SIGKILL)\n"
        "t.run(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), workers=3, progress=show)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", code, str(few), str(few / "killed")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    staged = {path for path in (few / "killed" / ".staging").iterdir() if path.suffix == ".frames"}
    assert 3 <= len(staged) < 18 and not (few / "killed" / "prepared.json").exists()
    times = {path: path.stat().st_mtime_ns for path in staged}
    calls = []
    half_written = (
        few / "killed" / "prepared_videos" / "1.0.0" / "prepared_videos-test.array_record-9"
    )
    half_written.parent.mkdir(parents=True)
    half_written.write_bytes(b"left by a process that was killed later")

    def show(*counts):
        calls.append(counts)
        assert all(path.stat().st_mtime_ns == time for path, time in times.items())

    report = run(few, few / "killed", workers=2, progress=show)
    assert calls[0][0] >= 4 and calls[-1] == (19, 19, 1)
    assert checksums(few / "killed") == checksums(few / "out") != {}
    assert (few / "killed" / "failed.csv").read_text() == (few / "out" / "failed.csv").read_text()
    again = run(few, few / "killed")
    assert (again.good, again.failures, again.complete) == (report.good, report.failures, True)


def test_too_many_failures_write_no_shards_but_keep_the_work(few, tmp_path):
    report = run(few, tmp_path / "out", max_failed=0.05)
    assert not report.complete and len(report.failures) == 1
    assert (tmp_path / "out" / "failed.csv").exists()
    assert not (tmp_path / "out" / "prepared.json").exists()
    calls = []
    progress = lambda *counts: calls.append(counts)  # noqa: E731
    assert run(few, tmp_path / "out", max_failed=0.06, progress=progress).complete
    assert calls == [(19, 19, 1)]
    assert checksums(tmp_path / "out") == checksums(few / "out")


def test_output_folder_of_something_else(few, tmp_path):
    with pytest.raises(DataError, match="out: was prepared from other videos or with other set"):
        run(few, few / "out", images=Images(SIZE, 80))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="holds other files"):
        run(few, tmp_path)
    with pytest.raises(DataError, match="letter.txt.*cannot be written"):
        run(few, tmp_path / "letter.txt" / "out")


def test_two_at_once(few, tmp_path):
    def second(*counts):
        with pytest.raises(DataError, match="another prepare is at work"):
            run(few, tmp_path / "out")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(few, tmp_path / "out", progress=second)


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"max_failed": 1.5}, {"images": Images(4)}, {"limits": Limits(timeout=0)}],
)
def test_settings_out_of_range(few, tmp_path, options):
    with pytest.raises(ConfigError, match="out of range"):
        run(few, tmp_path / "out", **options)


def test_frame_folders(tmp_path, root):
    """PNG images, numbered without zeros, give the same shards' frames as the video itself."""
    whole = read_video(root / "test" / "aaa" / "0.mp4")
    for number in (9, 10, 11, 12):
        path = tmp_path / "frames" / "test" / "aaa" / "0" / f"img_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole[number - 9]).save(path)
    (path.parent / "notes.txt").write_text("not a frame")
    grey = tmp_path / "frames" / "test" / "aaa" / "grey"
    grey.mkdir()
    for number in range(2):
        Image.fromarray(whole[0, ..., 0]).save(grey / f"{number}.png")
    bad = tmp_path / "frames" / "test" / "aab" / "bad"
    bad.mkdir(parents=True)
    (bad / "1.jpg").write_bytes(b"no image")
    split = load_split(tmp_path / "frames", "", "test", frames=True)
    report = prepare(tmp_path / "frames", [split], tmp_path / "out", images=Images(36, 95),
                     limits=LIMITS, max_failed=0.5)  # fmt: skip
    assert report.failures[0][0] == "test/aab/bad" and "not a JPEG or PNG" in report.failures[0][1]
    shards = Shards(tmp_path / "out", "test")
    difference = shards.all_frames(0).astype(int) - whole
    assert abs(difference).mean() < 4 and abs(difference).max() < 60
    assert (np.ptp(shards.frames(1, [1]).astype(int), axis=-1) <= 1).all()
