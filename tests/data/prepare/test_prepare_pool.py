"""Worker processes, staged results, and the writing of records."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import made_videos as made
import numpy as np
import pytest

from mdmf_jax.data.prepare.builder import write_records
from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.pool import Task, decode_all
from mdmf_jax.data.prepare.stage import Failed, Stage, Staged
from mdmf_jax.errors import DataError

SIZE = 24
LIMITS = Limits(timeout=4, max_frames=300)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    videos = tmp_path_factory.mktemp("videos")
    made.write(videos / "short.mp4", made.pictures(6))
    made.write(videos / "one.mp4", made.pictures(1))
    made.repeat(videos / "endless.mkv", np.zeros((2160, 3840, 3), np.uint8), 290)
    return videos


def decode(folder, path, limits):
    folder.mkdir(exist_ok=True)
    stage = Stage(folder)
    list(decode_all([Task("key", str(path))], stage, Images(SIZE), limits, workers=1))
    return stage, stage.result("key", limits.as_dict())


def test_one_frame_can_be_allowed(videos, tmp_path):
    _, result = decode(tmp_path / "a", videos / "one.mp4", Limits(min_frames=1))
    assert len(result.lengths) == 1 and result.seconds == pytest.approx(1 / 25)


def test_frame_count_that_the_header_claims(tmp_path):
    """Refused before a frame is decoded."""
    path = made.repeat(tmp_path / "v.mp4", made.picture(0), 400)
    _, result = decode(tmp_path / "a", path, LIMITS)
    assert result.reason.startswith("claims 400 frames; at most --max-frames=300")


def test_memory_limit(tmp_path):
    path = made.huge(tmp_path / "large.avi", side=7_900)
    _, result = decode(tmp_path / "stage", path, Limits(memory=512))
    assert "needs more memory than --memory-limit=512 MB" in result.reason
    staged = sorted(path.name for path in (tmp_path / "stage").iterdir())
    assert staged == ["key.failed"]


def test_crashed_worker_is_replaced_and_stopped_work_leaves_no_process(videos, tmp_path):
    def workers():
        found = set()
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError):  # a thread that ended meanwhile
                text = Path(f"/proc/self/task/{task}/children").read_text()
                found |= {int(pid) for pid in text.split()}
        return found

    before = workers()
    slow = videos / "endless.mkv"
    quick = videos / "short.mp4"
    stage = Stage(tmp_path)
    tasks = [Task("slow", str(slow)), Task("quick", str(quick))]
    limits = Limits(timeout=100)

    def crash():
        while not list(tmp_path.glob(".slow.*.tmp")):
            time.sleep(0.02)
        for pid in workers() - before:
            os.kill(pid, signal.SIGSEGV)

    thread = threading.Thread(target=crash)
    thread.start()
    done = list(decode_all(tasks, stage, Images(SIZE), limits, workers=1))
    thread.join()
    assert [task.key for task in done] == ["slow", "quick"]
    assert stage.result("slow", limits.as_dict()).reason == "the decoder crashed (SIGSEGV)"
    assert len(stage.result("quick", limits.as_dict()).lengths) == 6
    assert workers() == before


def test_staged_results(tmp_path):
    stage, limits = Stage(tmp_path), Limits().as_dict()
    staged = stage.add("a", iter([b"one", b"three"]), lambda: (4, 3, 0.5))
    assert staged == Staged(4, 3, 0.5, (3, 5)) == stage.result("a", limits)
    assert list(stage.images("a", staged)) == [b"one", b"three"]
    content = (tmp_path / "a.frames").read_bytes()
    for damaged in (content[:-1], content[1:], b"", content[:20]):
        (tmp_path / "a.frames").write_bytes(damaged)
        assert stage.result("a", limits) is None
    stage.add_failure("b", "too long", limits)
    assert stage.result("b", limits) == Failed("too long", limits)
    assert stage.result("b", limits | {"timeout": 9.0}) is None  # worth another try


def test_folder_that_cannot_be_written(videos, tmp_path):
    (tmp_path / "absent").touch()  # a file, where the folder should be
    stage = Stage(tmp_path / "absent")
    task = Task("key", str(videos / "short.mp4"))
    with pytest.raises(DataError, match="absent/key.frames: cannot be written.*same command again"):
        list(decode_all([task], stage, Images(SIZE), LIMITS, workers=1))


def test_shards_on_a_full_disk(tmp_path):
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example().SerializeToString()
    with pytest.raises(DataError, match="/dev/full: cannot be written .*No space left"):
        write_records("/dev/full", iter([example]))
    with pytest.raises(DataError, match="absent/shard: cannot be written"):
        write_records(tmp_path / "absent" / "shard", iter([example]))
