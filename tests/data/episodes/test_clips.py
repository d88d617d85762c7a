"""Clips by pipeline, policy, view and length, from a source whose frames say their number."""

import numpy as np
import pytest

from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.transforms.sampling import frame_indices_test
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.data.videos.selection import Selection, drop_short
from mdmf_jax.errors import DataError


class MadeSource:
    """Video v of class c has `lengths[v]` frames; frame i is grey of level i."""

    def __init__(self, lengths=(30, 31, 32, 33, 34, 35), split="test"):
        half = len(lengths) // 2
        videos = (
            tuple(f"a/{i}.mp4" for i in range(half)),
            tuple(f"b/{i}.mp4" for i in range(half, len(lengths))),
        )
        self.split = Split(split, ("a", "b"), ("a", "b"), videos)
        self.lengths, self.read = lengths, []

    def __len__(self):
        return len(self.lengths)

    def class_of(self, item):
        return int(item >= len(self.split.videos[0]))

    def describe(self, item):
        return self.split.paths[item]

    def num_frames(self, item):
        return self.lengths[item]

    def frames(self, item, indices):
        self.read.append((item, list(indices)))
        levels = np.array(indices, np.uint8)
        return np.tile(levels[:, None, None, None], (1, 40, 50, 3))

    def all_frames(self, item):
        return self.frames(item, range(self.lengths[item]))


def maker(source, name="mdmf", cache=False, jitter=False, short_videos="repeat", **rules):
    pipeline = Pipeline(name, 40, 32, jitter=jitter)
    return ClipMaker(VideoReader(source, pipeline, cache), ClipRules(8, **rules), short_videos)


def numbers(clip):
    """Numbers of the frames of a clip of `MadeSource`."""
    clip = clip["rgb"] if isinstance(clip, dict) else clip
    assert (clip == clip[:, :1, :1, :1]).all()
    return clip[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("name", ["mdmf", "clip_fsar"])
def test_test_clips_of_segments_depend_on_seed_and_video_only(name, cache):
    def clips(seed, view=0):
        made = maker(MadeSource(), name, cache, sampling="segments", count=3, seed=seed)
        return [numbers(made.test(v, view)) for v in (5, 0, 1, 5)]

    first = clips(0)
    assert first == clips(0) and first[0] == first[3]
    assert first != clips(1) and first != clips(0, view=1)
    for clip, length in zip(first, (35, 30, 31), strict=False):
        assert [number // (length // 8) for number in clip] == list(range(8))


def test_a_video_keeps_its_test_clip_in_another_split():
    whole = MadeSource()
    kept = Selection(whole, [0, 2, 4, 5])
    one, other = (maker(source, sampling="segments", seed=7) for source in (whole, kept))
    for here, there in ((0, 0), (1, 2), (3, 5)):
        assert kept.describe(here) == whole.describe(there)
        assert kept.class_of(here) == whole.class_of(there)
        np.testing.assert_array_equal(other.test(here)["rgb"], one.test(there)["rgb"])


def test_clips_of_a_test_video_differ_and_the_first_is_the_usual_one():
    made = maker(MadeSource(), count=4)
    clips = [numbers(made.test(3, clip)) for clip in range(4)]
    assert clips[0] == frame_indices_test(33, 8).tolist() == numbers(maker(MadeSource()).test(3))
    assert clips[1:] == [[(4 * t + view) * 33 // 32 for t in range(8)] for view in (1, 2, 3)]


def test_test_clips_are_cut_at_the_centre_and_the_corners():
    class Gradient(MadeSource):
        def frames(self, item, indices):
            rows, columns = np.mgrid[:40, :50].astype(np.uint8)
            frame = np.stack([rows, columns, rows], axis=-1)
            return np.repeat(frame[None], len(indices), axis=0)

    made = maker(Gradient(), count=6)
    corners = [made.test(0, clip)["rgb"][0, 0, 0, :2].tolist() for clip in range(6)]
    assert corners == [[4, 9], [0, 0], [0, 18], [8, 0], [8, 18], [4, 9]]


@pytest.mark.parametrize("cache", [False, True])
def test_short_video_repeats_its_frames_and_reads_each_once(cache):
    source = MadeSource(lengths=(3, 30))
    made = maker(source, cache=cache, count=3)
    rng = np.random.default_rng(0)
    assert numbers(made.test(0, 0)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert numbers(made.train(0, False, rng)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert numbers(made.test(0, 2)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert {tuple(frames) for _, frames in source.read} == {(0, 1, 2)}


def test_short_videos_are_left_out():
    source = MadeSource(lengths=(30, 7, 8, 9, 3, 40))
    kept = drop_short(source, 8, workers=2)
    assert len(kept) == 4 and kept.split.videos == (("a/0.mp4", "a/2.mp4"), ("b/3.mp4", "b/5.mp4"))
    assert [kept.num_frames(item) for item in range(4)] == [30, 8, 9, 40]
    assert kept.frames(1, [5]).max() == 5 and len(kept.all_frames(2)) == 9
    assert drop_short(source, 3, workers=2) is source
    with pytest.raises(DataError, match="test: no video has 41 frames"):
        drop_short(source, 41, workers=2)
    with pytest.raises(DataError, match="a/1.mp4: has 7 frames, 8 are needed"):
        maker(source, short_videos="drop").test(1)


def test_only_training_queries_change_colours():
    source = MadeSource()

    def episode(**options):
        return EpisodeLoader(maker(source, **options), 2, 1, 2, seed=0, train=True).make_episode(0)

    plain, jittered = episode(name="clip_fsar"), episode(name="clip_fsar", jitter=True)
    for clip in plain["query"]["rgb"]:
        numbers(clip)
    np.testing.assert_array_equal(plain["support"]["rgb"], jittered["support"]["rgb"])
    assert (plain["query"]["rgb"] != jittered["query"]["rgb"]).any(axis=(1, 2, 3, 4)).all()
    fixed = EpisodeLoader(maker(source, "clip_fsar", jitter=True), 2, 1, 2, seed=0)
    for clip in fixed.make_episode(0)["query"]["rgb"]:
        assert numbers(clip)
