"""gs:// paths, against an emulator of Cloud Storage on the loopback (see cloud.py)."""

import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from cloud import emulator
from rich.console import Console

from mdmf_jax import files
from mdmf_jax.data.local_copies import local_copies, local_copy
from mdmf_jax.data.prepare.decode import Images
from mdmf_jax.data.prepare.run import prepare
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.data.videos.source_shards import Shards
from mdmf_jax.data.videos.sources import find_kind
from mdmf_jax.errors import CheckpointError, DataError, UserError
from mdmf_jax.evaluation.features.contents import ContentTable
from mdmf_jax.evaluation.features.store import FeatureStore
from mdmf_jax.evaluation.partial import PartialAnswers
from mdmf_jax.training import lock, scalars
from mdmf_jax.training.lock import CloudLock, folder_lock

for package in ("gcp_storage_emulator", "gcsfs"):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)

# aiohttp's advice to gcsfs, which hands it an upload as bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture(scope="module")
def cloud():
    with emulator() as running:
        yield running


@pytest.fixture
def folder(cloud, request):
    """A folder of this test in the emulator's bucket."""
    return files.path(f"gs://bucket/{request.node.name}")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def upload(local, remote):
    """Puts a folder into the bucket."""
    for path in sorted(local.rglob("*")):
        if path.is_file():
            files.write_whole(remote / path.relative_to(local).as_posix(), path.read_bytes())


def test_a_file_comes_back(folder):
    for data in (b"", b"old and longer", "naïve", os.urandom(9 * 2**20)):
        files.write_whole(folder / "below" / "a", data)
        data = data.encode() if isinstance(data, str) else data
        assert (folder / "below" / "a").read_bytes() == data
        assert files.sha256_of(folder / "below" / "a") == files.sha256(data)
        assert files.size_of(folder / "below" / "a") == len(data)
    files.write_json(folder / "b.json", {"a": [1, None]})
    assert files.read_json(str(folder / "b.json")) == {"a": [1, None]}
    assert sorted(path.name for path in folder.iterdir()) == ["b.json", "below"]
    folder.rmtree()
    assert not folder.exists()


def test_a_file_is_put_in_its_place_at_the_end(folder):
    with files.whole_file(folder / "a") as temporary:
        temporary.write_text("first")
        assert not (folder / "a").exists()
    with pytest.raises(KeyboardInterrupt), files.whole_file(folder / "a") as temporary:
        temporary.write_text("second")
        raise KeyboardInterrupt
    assert (folder / "a").read_text() == "first"


def test_what_goes_wrong_is_one_line(folder):
    with pytest.raises(DataError, match=f"^{folder}/x: no such file; run again$"):
        files.read_json(folder / "x", DataError, "run again")
    with pytest.raises(DataError, match="^gs://no-bucket/x: cannot be written .*; make room$"):
        files.write_whole("gs://no-bucket/x", "x", DataError, "make room")
    with pytest.raises(UserError, match="such a folder is written on a disk only"):
        with files.whole_folder(folder):
            pass


def test_a_bucket_that_cannot_be_reached_is_one_line(repository, cloud):
    code = (
        # gcsfs tries again and again, with half a minute of pauses.
        "import asyncio; sleep = asyncio.sleep; asyncio.sleep = lambda *_: sleep(0)\n"
        "from mdmf_jax import files; files.write_whole('gs://bucket/x', 'x')"
    )
    closed = cloud.environment | {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | closed,
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert "UserError: gs://bucket/x: cannot be written (" in last


def test_tensorflow_is_not_imported_for_it(repository, cloud):
    code = (
        "import sys; from mdmf_jax import files; files.write_whole('gs://bucket/t', 'x');"
        "print(files.path('gs://bucket/t').read_text(), 'tensorflow' in sys.modules)"
    )
    command, environment = [sys.executable, "-c", code], os.environ | cloud.environment
    done = subprocess.run(
        command, env=environment, cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["x", "False"]


def test_stored_features_are_computed_once(folder):
    calls = []

    def compute(videos):
        calls.extend(videos.tolist())
        return {"frames": np.stack([np.full((2, 3), video, np.float32) for video in videos])}

    key = files.digest({"a": 1})
    first = FeatureStore(str(folder), key).features(5, compute)
    second = FeatureStore(str(folder), key).features(5, compute)
    assert calls == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(first["frames"], second["frames"])
    np.testing.assert_array_equal(first["frames"][:, 0, 0], np.arange(5))
    damaged = next(folder.glob("*/*.features"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    FeatureStore(str(folder), key).features(5, compute)
    assert calls == [0, 1, 2, 3, 4] * 2


def test_checksums_of_videos_are_kept(folder, tmp_path, monkeypatch):
    (tmp_path / "video").write_bytes(b"frames")
    os.utime(tmp_path / "video", (1, 1))
    table = ContentTable(folder / "contents" / "x.json")
    found = table.checksum(tmp_path / "video")
    table.save()
    monkeypatch.setattr(files, "sha256_of", None)  # would be called
    assert ContentTable(folder / "contents" / "x.json").checksum(tmp_path / "video") == found


def test_partial_answers_go_on(folder, monkeypatch):
    monkeypatch.setattr("mdmf_jax.evaluation.partial._SECONDS", 0)
    answers = {"a": np.arange(3)}
    PartialAnswers(folder / "x.partial", "key").keep(answers)
    np.testing.assert_array_equal(
        PartialAnswers(folder / "x.partial", "key").answers["a"], [0, 1, 2]
    )
    assert not PartialAnswers(folder / "x.partial", "other key").answers


def test_one_run_at_a_time(folder):
    with folder_lock(folder):
        with pytest.raises(CheckpointError, match=f"{folder} is in use by .*process {os.getpid()}"):
            folder_lock(folder).__enter__()
    assert not (folder / lock.NAME).exists()
    with folder_lock(folder):
        pass


def test_of_two_that_start_at_once_one_goes_on(folder):
    locks, refused = [CloudLock(folder) for _ in range(8)], []

    def enter(one):
        try:
            return one.__enter__()
        except CheckpointError as error:
            refused.append(str(error))

    with ThreadPoolExecutor(8) as pool:
        held = [one for one in pool.map(enter, locks) if one]
    assert len(held) == 1 and len(refused) == 7
    assert all(f"{folder} is in use by" in line for line in refused)
    held[0].__exit__()


def test_the_lock_of_a_killed_run_ends(folder):
    killed = {"owner": "somebody", "token": "x", "time": time.time() - lock.DEAD + 30}
    files.write_json(folder / lock.NAME, killed)
    with pytest.raises(CheckpointError, match="in use by somebody; wait until it ends .300 s"):
        folder_lock(folder).__enter__()
    files.write_json(folder / lock.NAME, killed | {"time": time.time() - lock.DEAD - 1})
    with folder_lock(folder):
        assert files.read_json(folder / lock.NAME)["owner"] != "somebody"


def test_the_lock_of_a_living_run_is_renewed(folder, monkeypatch):
    monkeypatch.setattr(lock, "RENEWED", 0.05)
    with folder_lock(folder):
        first = files.read_json(folder / lock.NAME)["time"]
        end = time.monotonic() + 60
        while files.read_json(folder / lock.NAME)["time"] == first:
            assert time.monotonic() < end


def test_metrics_grow_and_go_on(folder):
    writer = scalars.ScalarWriter(folder)
    for step in (1, 2, 3):
        writer.write("train", step, {"loss": step / 2})
    writer.close()
    again = scalars.ScalarWriter(folder, 2)
    again.write("train", 3, {"loss": 9.0})
    again.write("validation", 3, {"accuracy": 0.5})  # copies, before the run ends
    lines = list(scalars.read_metrics(folder / scalars.METRICS))
    again.close()
    train = [(x["step"], x["metrics"]["loss"]) for x in lines if x["kind"] == "train"]
    assert train == [(1, 0.5), (2, 1.0), (3, 9.0)] and lines[-1]["kind"] == "validation"
    assert list((folder / scalars.TENSORBOARD).iterdir())


def test_a_file_is_copied_once(cloud, folder, cache, capsys):
    content = os.urandom(3 * 2**20)
    files.write_whole(folder / "list", content)
    copy = local_copy(folder / "list")
    assert copy.is_relative_to(cache) and copy.read_bytes() == content
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"copying {folder}/list (3.1 MB)" in said
    count = len(cloud.requests)
    assert local_copy(str(folder / "list")) == copy
    assert not [line for line in cloud.requests[count:] if "alt=media" in line]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fault", ["changed here", "cut short", "deleted", "changed there"])
def test_a_copy_that_is_not_the_file_is_made_again(folder, cache, fault):
    files.write_whole(folder / "x", b"content")
    copy = local_copy(folder / "x")
    if fault == "changed here":
        copy.write_bytes(b"cantent")
        os.utime(copy, ns=(1, 1))
    if fault == "cut short":
        copy.write_bytes(b"con")
    if fault == "deleted":
        copy.unlink()
    if fault == "changed there":
        files.write_whole(folder / "x", b"contact")
    assert local_copy(folder / "x") == copy
    assert copy.read_bytes() == (folder / "x").read_bytes()


def test_a_copy_of_which_only_the_time_changed_is_kept(folder, cache, capsys):
    files.write_whole(folder / "x", b"content")
    copy = local_copy(folder / "x")
    os.utime(copy, ns=(1, 1))
    capsys.readouterr()
    assert local_copy(folder / "x") == copy and capsys.readouterr().err == ""


def test_a_damaged_download_is_not_kept(folder, cache, monkeypatch):
    files.write_whole(folder / "x", b"content")
    monkeypatch.setattr(
        "mdmf_jax.data.local_copies._checksum", lambda pieces: "".join(map(repr, pieces))
    )
    with pytest.raises(DataError, match="x: its copy has another checksum; start again"):
        local_copy(folder / "x")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_copies_that_cannot_be_made(folder, cache, tmp_path):
    files.write_whole(folder / "y", b"content")
    for name, message in {
        f"{folder}/x": "no such file",
        "gs://bucket/../../etc/passwd": "is not a name of a file",
        str(folder): "is not a file",
    }.items():
        with pytest.raises(DataError, match=message):
            local_copies([tmp_path / "here", name])
    assert local_copies([tmp_path / "here"]) == [tmp_path / "here"]


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    """The test split of the tiny data set as shards."""
    pytest.importorskip("array_record")
    out = tmp_path_factory.mktemp("prepared") / "out"
    split = load_split(videos, "", "test")
    prepare(videos, [split], out, images=Images(20), workers=1, shard_videos=5)
    return out


def test_shards_give_the_same_frames(folder, cache, prepared, capsys):
    upload(prepared, folder)
    assert find_kind("auto", str(folder)) == "prepared"
    here, there = Shards(prepared, "test"), Shards(str(folder), "test")
    assert there.split == here.split and len(there) == len(here) == 12
    for item in range(12):
        np.testing.assert_array_equal(there.all_frames(item), here.all_frames(item))
    assert capsys.readouterr().err.count("\n") == 1
    Shards(str(folder), "test")
    assert capsys.readouterr().err == ""


def test_videos_that_are_not_prepared_are_refused(folder, cloud):
    with pytest.raises(DataError, match="holds no prepared.json; on gs:// videos must be prepared"):
        find_kind("auto", str(folder))


def test_lists_are_read(folder, cache, videos):
    names = sorted(path.relative_to(videos / "test") for path in (videos / "test").glob("*/*.mp4"))
    lines = [f"{name.parent}/{name.stem}" for name in names if name.stem != "0"]
    files.write_whole(folder / "testlist.txt", "\n".join(lines))
    split = load_split(videos / "test", str(folder), "test")
    assert sorted(path for each in split.videos for path in each) == sorted(
        f"{x}.mp4" for x in lines
    )
    with pytest.raises(DataError, match=f"{folder}/vallist03.txt: no such file"):
        load_split(videos / "test", str(folder), "val")


@pytest.mark.slow
def test_a_run_is_trained_resumed_and_evaluated(folder, settings, finished_run):
    """Orbax writes through gcsfs and tensorstore, and both go to the emulator.

    The figures are those of the same run on a disk, which was not interrupted.
    """
    from mdmf_jax.config.config import from_config_dict
    from mdmf_jax.evaluation.task import Task
    from mdmf_jax.runs.evaluate import evaluate
    from mdmf_jax.runs.train import train_and_evaluate

    def config(steps):
        settings.eval.feature_cache, settings.train.steps = f"{folder}/features", steps
        return from_config_dict(settings)

    out = io.StringIO()
    console = Console(file=out, width=200)
    train_and_evaluate(config(2), f"{folder}/run", console)
    results, _ = train_and_evaluate(config(4), f"{folder}/run", console)
    assert f"continuing after step 2 of {folder}/run/checkpoints" in out.getvalue()
    assert results["test"] == finished_run.results["test"]
    assert files.read_json(folder / "run" / "results.json")["test"] == json.loads(
        json.dumps(results["test"])
    )
    steps = [line["step"] for line in scalars.read_metrics(folder / "run" / scalars.METRICS)]
    assert sorted(set(steps)) == [1, 2, 3, 4]
    assert list((folder / "run" / scalars.TENSORBOARD).iterdir())
    assert not (folder / "run" / lock.NAME).exists()
    answer = evaluate(Task(shot=1), checkpoint=f"{folder}/run", console=console)
    assert answer["accuracy"] == results["test"]["2way_1shot"]["accuracy"]
    assert (folder / "run" / "eval_test_2way_1shot.json").exists()
    assert not Path("gs:").exists(), "a path was taken for a local one"
