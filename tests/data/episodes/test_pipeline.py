import builtins
import threading
import time

import numpy as np
import pytest

from mdmf_jax.data.episodes.batches import episode_batches, flatten
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.data.videos.source_videos import VideoFiles
from mdmf_jax.errors import ConfigError, DataError

LOADERS = ["threads", "tfdata"]


def toy(index):
    """An episode whose later members finish first."""
    time.sleep(0.002 * (index % 3 == 0))
    return {"a": np.full((2, 3), index, np.uint8), "index": np.array(index, np.int32)}


def run(make=toy, start=0, stop=10, batch=4, **options):
    return list(episode_batches(make, start=start, stop=stop, batch=batch, **options))


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("workers", [1, 4])
def test_order_shapes_and_the_rest(loader, workers):
    batches = run(start=3, stop=13, loader=loader, workers=workers)
    assert [b["index"].tolist() for b in batches] == [[3, 4, 5, 6], [7, 8, 9, 10], [11, 12]]
    for b in batches:
        assert b["a"].dtype == np.uint8 and b["index"].dtype == np.int32
        np.testing.assert_array_equal(
            b["a"], np.broadcast_to(b["index"][:, None, None], (len(b["index"]), 2, 3))
        )


@pytest.mark.parametrize("loader", LOADERS)
def test_nothing_to_do(loader):
    assert run(start=5, stop=5, loader=loader) == []


def test_loaders_give_the_same_bits(demo_root, demo_split):
    pipeline = Pipeline("mdmf", 40, 32, flip=True)
    reader = VideoReader(VideoFiles(demo_root / "videos", demo_split), pipeline, cache=True)
    clips = ClipMaker(reader, ClipRules(8))
    episodes = EpisodeLoader(clips, way=3, shot=1, queries=2, seed=7, train=True)
    one, other = (run(episodes.make_episode, 2, 9, 3, loader=name, workers=3) for name in LOADERS)
    assert len(one) == len(other) == 3
    for a, b in zip(one, other, strict=True):
        a, b = flatten(a), flatten(b)
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])
    expected = [episodes.make_episode(index)["support"]["rgb"] for index in range(2, 9)]
    np.testing.assert_array_equal(np.concatenate([b["support"]["rgb"] for b in one]), expected)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("bad", [0, 5])
def test_user_error_arrives_as_itself_when_due(loader, bad):
    errors = {index: DataError(f"video {index} is broken") for index in (bad, 7)}

    def make(index):
        if index in errors:
            raise errors[index]
        return toy(index)

    seen = []
    with pytest.raises(DataError) as caught:
        for b in episode_batches(make, start=0, stop=12, batch=2, loader=loader, workers=3):
            seen.extend(b["index"].tolist())
    assert caught.value is errors[bad]
    assert seen == list(range(bad - bad % 2))


def worker_threads():
    return [t for t in threading.enumerate() if t.name.startswith("episodes")]


@pytest.mark.parametrize("loader", LOADERS)
def test_closing_stops_the_work(loader):
    made = []

    def make(index):
        made.append(index)
        return toy(index)

    batches = episode_batches(
        make, start=0, stop=100_000, batch=2, loader=loader, workers=3, prefetch=2
    )
    next(batches)
    batches.close()
    assert worker_threads() == []
    for _ in range(20):  # TensorFlow lets calls in flight end by themselves
        before = len(made)
        time.sleep(0.1)
        if len(made) == before:
            break
    else:
        pytest.fail("episodes are still being made two seconds after the end")
    assert len(made) < 100


def test_closing_drops_what_waits():
    made = []

    def make(index):
        made.append(index)
        time.sleep(0.02)
        return toy(index)

    batches = episode_batches(
        make, start=0, stop=1000, batch=1, loader="threads", workers=1, prefetch=50
    )
    next(batches)
    batches.close()
    assert len(made) < 10


def test_threads_end_after_the_last_batch_and_after_an_error():
    run(loader="threads")
    assert worker_threads() == []

    def make(index):
        raise DataError("broken")

    with pytest.raises(DataError):
        run(make, loader="threads")
    assert worker_threads() == []


def test_threads_work_ahead_within_bounds():
    made = []

    def make(index):
        made.append(index)
        return toy(index)

    batches = episode_batches(
        make, start=0, stop=1000, batch=2, loader="threads", workers=2, prefetch=3
    )
    next(batches)
    time.sleep(0.2)
    assert 2 < len(made) <= 2 + 3 * 2
    batches.close()


def test_threads_run_in_parallel():
    barrier = threading.Barrier(3, timeout=10)

    def make(index):
        barrier.wait()  # passes only if three calls are under way at once
        return toy(index)

    assert len(run(make, stop=6, batch=3, loader="threads", workers=3)) == 2


def test_bad_options():
    with pytest.raises(ConfigError, match="'torch'.*tfdata, threads"):
        run(loader="torch")
    for name in ("batch", "workers", "prefetch"):
        with pytest.raises(ConfigError, match=f"{name}=0"):
            run(**{name: 0})


def test_missing_tensorflow_is_said(monkeypatch):
    original = builtins.__import__

    def without_tensorflow(name, *args, **kwargs):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError("No module named 'tensorflow'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tensorflow)
    with pytest.raises(ConfigError, match="tensorflow-cpu or set data.loader=threads"):
        run(loader="tfdata")
    assert len(run(loader="threads")) == 3
