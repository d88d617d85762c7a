import numpy as np
import pytest

from mdmf_jax.data.episodes.batches import flatten
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.data.transforms.geometry import crop, fixed_cut, resize_short_side
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.transforms.sampling import frame_indices_test
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.data.videos.source_videos import VideoFiles
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import DataError


def clips(root, split, resize, crop, cache=False, flip=False, **options):
    pipeline = Pipeline("mdmf", resize, crop, flip)
    reader = VideoReader(VideoFiles(root, split), pipeline, cache)
    return ClipMaker(reader, ClipRules(8), **options)


def loader(root, split, cache, crop=32, flip=False, **options):
    sizes = {"way": 3, "shot": 1, "queries": 2, "seed": 0}
    return EpisodeLoader(clips(root / "videos", split, 40, crop, cache, flip), **(sizes | options))


def test_shapes(demo_root, demo_split):
    episode = loader(demo_root, demo_split, cache=False).make_episode(3)
    assert {key: (v.shape, v.dtype.name) for key, v in flatten(episode).items()} == {
        "support/rgb": ((3, 1, 8, 32, 32, 3), "uint8"),
        "query/rgb": ((6, 8, 32, 32, 3), "uint8"),
        "query_labels": ((6,), "int32"),
        "class_ids": ((3,), "int32"),
        "index": ((), "int32"),
    }
    assert episode["query_labels"].tolist() == [0, 0, 1, 1, 2, 2] and episode["index"] == 3


def test_test_clips_come_from_the_classes_named(demo_root, demo_split):
    """Every clip is found among the clips of its class, made by hand."""
    episode = loader(demo_root, demo_split, cache=True).make_episode(1)
    known = {}
    for class_, videos in enumerate(demo_split.videos):
        for path in videos:
            video = resize_short_side(read_video(demo_root / "videos" / path), 40)
            square = fixed_cut(*video.shape[1:3], 32)
            clip = crop(video[frame_indices_test(len(video), 8)], square)
            known[clip.tobytes()] = (class_, path)
    support = [known[clips[0].tobytes()] for clips in episode["support"]["rgb"]]
    query = [known[clip.tobytes()] for clip in episode["query"]["rgb"]]
    assert [class_ for class_, _ in support] == episode["class_ids"].tolist()
    expected = episode["class_ids"][episode["query_labels"]].tolist()
    assert [class_ for class_, _ in query] == expected
    assert len({path for _, path in support + query}) == 9


@pytest.mark.parametrize("train", [False, True])
def test_cache_changes_nothing(demo_root, demo_split, train):
    plain = loader(demo_root, demo_split, cache=False, train=train, flip=train)
    cached = loader(demo_root, demo_split, cache=True, train=train, flip=train)
    for index in (0, 5, 0):
        one, other = (flatten(each.make_episode(index)) for each in (plain, cached))
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_training_clips_are_random_but_repeatable(demo_root, demo_split):
    train = loader(demo_root, demo_split, cache=True, train=True, flip=True)
    one, again, other = (train.make_episode(index) for index in (2, 2, 3))
    np.testing.assert_array_equal(one["query"]["rgb"], again["query"]["rgb"])
    assert (one["query"]["rgb"] != other["query"]["rgb"]).any()
    fixed = loader(demo_root, demo_split, cache=True).make_episode(2)
    assert one["class_ids"].tolist() == fixed["class_ids"].tolist()  # the same videos drawn
    differ = [
        (a != b).any() for a, b in zip(one["query"]["rgb"], fixed["query"]["rgb"], strict=True)
    ]
    assert sum(differ) >= 5


def test_flip_mirrors_half_of_the_clips(demo_root, demo_split):
    on = loader(demo_root, demo_split, cache=True, train=True, flip=True, crop=40)
    off = loader(demo_root, demo_split, cache=True, train=True, flip=False, crop=40)
    mirrored = []
    for index in range(15):
        clips, plain = (each.make_episode(index)["query"]["rgb"] for each in (on, off))
        for a, b in zip(clips, plain, strict=True):
            same, flipped = (a == b).all(), (a == b[:, :, ::-1]).all()
            assert same or flipped
            mirrored.append(flipped and not same)
    assert 0.3 < np.mean(mirrored) < 0.7


def test_cached_video_is_decoded_once(demo_root, demo_split, monkeypatch):
    calls = []

    def counted(path):
        calls.append(path)
        return read_video(path)

    monkeypatch.setattr("mdmf_jax.data.videos.source_videos.read_video", counted)
    cached = loader(demo_root, demo_split, cache=True)
    for index in (0, 1, 2, 0, 1, 2):
        cached.make_episode(index)
    assert len(calls) == len(set(calls)) > 9


@pytest.mark.parametrize("cache", [False, True])
def test_short_video_is_named(tmp_path, write_video, numbered, cache):
    for name in ("a/1", "a/2", "b/1"):
        write_video(tmp_path / "test" / f"{name}.mp4", numbered(8))
    short = write_video(tmp_path / "test" / "b" / "2.mp4", numbered(7))
    split = load_split(tmp_path, "", "test")
    strict = clips(tmp_path, split, 48, 48, cache, short_videos="drop")
    short_loader = EpisodeLoader(strict, way=2, shot=1, queries=1, seed=0)
    with pytest.raises(DataError, match=f"{short}: has 7 frames, 8 are needed"):
        short_loader.make_episode(0)
    write_video(short, numbered(8))
    fresh = clips(tmp_path, split, 48, 48, cache, short_videos="drop")
    EpisodeLoader(fresh, 2, 1, 1, seed=0).make_episode(0)


@pytest.mark.parametrize("cache", [False, True])
def test_broken_video_is_named(tmp_path, write_video, numbered, cache):
    write_video(tmp_path / "test" / "a" / "1.mp4", numbered(8))
    (tmp_path / "test" / "a" / "2.mp4").write_text("no video")
    broken = clips(tmp_path, load_split(tmp_path, "", "test"), 48, 48, cache)
    broken_loader = EpisodeLoader(broken, way=1, shot=1, queries=1, seed=0)
    with pytest.raises(DataError, match="a/2.mp4: cannot be decoded"):
        broken_loader.make_episode(0)


def test_impossible_episodes_are_refused_at_once(demo_root, demo_split):
    with pytest.raises(DataError, match="has 3 videos.*need 4"):
        loader(demo_root, demo_split, cache=False, shot=2)
