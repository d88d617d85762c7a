"""Clips of several modalities: cut and mirrored alike, and RGB as if it were alone."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from mdmf_jax.classifier.clips import ClipReader, timed_frames
from mdmf_jax.classifier.settings import ClipSettings
from mdmf_jax.classifier.windows import cut_windows
from mdmf_jax.data.episodes.batches import episode_batches, flatten
from mdmf_jax.data.episodes.feature_episodes import FeatureEpisodes
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.modalities import MODALITIES
from mdmf_jax.data.videos.modality import Modality
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.errors import ConfigError, DataError


class Noise:
    """Videos of noise, 20 x 26 pixels; one has fewer frames than a clip."""

    lengths = (30, 31, 32, 5, 34, 35)

    def __init__(self):
        videos = tuple(
            tuple(f"{c}/{i}.mp4" for i in range(s, s + 3)) for c, s in (("a", 0), ("b", 3))
        )
        self.split = Split("train", ("a", "b"), ("a", "b"), videos)

    def __len__(self):
        return len(self.lengths)

    def describe(self, item):
        return self.split.paths[item]

    def num_frames(self, item):
        return self.lengths[item]

    def frames(self, item, indices):
        return self.all_frames(item)[np.asarray(indices)]

    def all_frames(self, item):
        shape = (self.lengths[item], 20, 26, 3)
        return np.random.default_rng(item).integers(0, 256, shape, dtype=np.uint8)


class Inverse(Modality):
    """RGB upside down in value, with a fourth channel: made from the frames that were read."""

    def frames(self, source, video, numbers, rgb):
        return np.concatenate([255 - rgb, rgb[..., :1]], axis=-1)


class Difference(Modality):
    """Of each frame of a clip to the next one."""

    def frames(self, source, video, numbers, rgb):
        grey = rgb.astype(int).mean(axis=-1, keepdims=True)
        return (127 + np.diff(grey, axis=0, append=grey[-1:]) / 2).astype(np.uint8)


class Motion(Modality):
    """As optical flow: read from elsewhere at half the size, u and v about 128."""

    def frames(self, source, video, numbers, rgb):
        found = [np.random.default_rng([video, n]).integers(1, 256, (10, 13, 2)) for n in numbers]
        assert source.split.ids[video] and len(rgb) == len(numbers)
        return np.stack(found).astype(np.uint8)

    def mirror(self, frames):
        flipped = super().mirror(frames).copy()
        flipped[..., 0] = 256 - flipped[..., 0].astype(int)
        return flipped


@pytest.fixture(autouse=True)
def modalities(monkeypatch):
    for name, kind in {"inverse": Inverse, "difference": Difference, "motion": Motion}.items():
        monkeypatch.setitem(MODALITIES, name, kind())


ALL = ("rgb", "inverse", "difference", "motion")


def loader(names=("rgb",), pipeline="mdmf", sampling="ends", cache=False, train=True, **options):
    made = Pipeline(pipeline, 20, 16, **options)
    clips = ClipMaker(VideoReader(Noise(), made, cache, names), ClipRules(8, sampling))
    return EpisodeLoader(clips, 2, 1, 2, seed=3, train=train)


@pytest.mark.parametrize("names", [("rgb",), ALL])
@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize(
    ("pipeline", "sampling", "expected"),
    [
        ("mdmf", "ends", "9d93822ecd220a8e"),
        ("mdmf", "segments", "fa83947c6f173126"),
        ("mdmf", "span", "f482c695737d9e70"),
        ("clip_fsar", "ends", "cd754f2019619e43"),
        ("clip_fsar", "segments", "4b61c5fd696614a7"),
        ("clip_fsar", "span", "0433ae47ddf7e539"),
    ],
)
def test_training_pixels_are_those_of_version_0_1_0(pipeline, sampling, expected, cache, names):
    """Digests by that version's code, which knew RGB alone."""
    episodes, found = loader(names, pipeline, sampling, cache, flip=True), hashlib.sha256()
    for index in range(4):
        episode = episodes.make_episode(index)
        found.update(episode["support"]["rgb"].tobytes() + episode["query"]["rgb"].tobytes())
    assert found.hexdigest()[:16] == expected


@pytest.mark.parametrize("train", [True, False])
def test_shapes_and_names(train):
    episode = flatten(loader(ALL, train=train).make_episode(0))
    for name, channels in zip(ALL, (3, 4, 1, 2), strict=True):
        assert episode[f"support/{name}"].shape == (2, 1, 8, 16, 16, channels)
        assert episode[f"query/{name}"].shape == (4, 8, 16, 16, channels)
        assert episode[f"query/{name}"].dtype == np.uint8


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("pipeline", ["mdmf", "clip_fsar"])
@pytest.mark.parametrize("train", [True, False])
def test_all_modalities_of_a_clip_are_cut_and_mirrored_alike(train, pipeline, cache):
    """The inverse, made before scaling, cutting and mirroring, is the inverse after them."""
    for index in range(8):
        episode = loader(ALL, pipeline, cache=cache, train=train, flip=True).make_episode(index)
        for clips in (episode["support"], episode["query"]):
            rgb, inverse = clips["rgb"].astype(int), clips["inverse"].astype(int)
            assert abs(255 - rgb - inverse[..., :3]).max() <= 1  # rounding of the scaled pixels
            np.testing.assert_array_equal(inverse[..., 3], rgb[..., 0])
            grey = rgb.mean(axis=-1, keepdims=True)
            change = np.diff(grey, axis=-4, append=grey[..., -1:, :, :, :])
            assert abs(127 + change / 2 - clips["difference"]).max() <= 2


def test_a_mirror_does_to_each_modality_what_its_class_says():
    """Frames as large as the cut, so that a clip is the whole picture or its mirror."""

    def episode(index, flip):
        made = Pipeline("mdmf", 20, 20, flip=flip)
        clips = ClipMaker(VideoReader(Square(), made, modalities=("motion", "rgb")), ClipRules(8))
        return EpisodeLoader(clips, 2, 1, 2, seed=3, train=True).make_episode(index)["query"]

    class Square(Noise):
        def all_frames(self, item):
            return super().all_frames(item)[:, :, :20]

    mirrored = []
    for index in range(12):
        plain, drawn = episode(index, False), episode(index, True)
        for clip in range(4):
            turned = not (plain["rgb"][clip] == drawn["rgb"][clip]).all()
            before, after = plain["motion"][clip].astype(int), drawn["motion"][clip].astype(int)
            if turned:
                np.testing.assert_array_equal(drawn["rgb"][clip], plain["rgb"][clip][:, :, ::-1])
                before = np.stack([256 - before[..., 0], before[..., 1]], -1)[:, :, ::-1]
            np.testing.assert_array_equal(after, before)
            mirrored.append(turned)
    assert 0.3 < np.mean(mirrored) < 0.7


def test_a_modality_is_scaled_to_the_size_of_the_rgb_frames():
    episode = loader(("motion",), train=False).make_episode(0)
    clip = loader(ALL, train=False).clips.test(4)["motion"]
    numbers = ClipRules(8).choose(34)
    for number, frame in zip(numbers, clip, strict=True):
        stored = np.random.default_rng([4, number]).integers(1, 256, (10, 13, 2)).astype(np.uint8)
        for channel in range(2):
            image = Image.fromarray(stored[..., channel]).resize(
                (26, 20), Image.Resampling.BILINEAR
            )
            np.testing.assert_array_equal(frame[..., channel], np.asarray(image)[2:18, 5:21])
    assert set(episode["support"]) == {"motion"}


def test_colours_change_where_they_are_colours():
    plain, jittered = (
        loader(ALL, "clip_fsar", jitter=jitter).make_episode(1) for jitter in (False, True)
    )
    assert (plain["query"]["rgb"][0] != jittered["query"]["rgb"][0]).any()
    for name in ALL[1:]:
        np.testing.assert_array_equal(plain["query"][name][0], jittered["query"][name][0])


@pytest.mark.parametrize("train", [True, False])
def test_keeping_frames_in_memory_changes_nothing(train):
    for index in (0, 1, 0):
        one, other = (
            flatten(loader(ALL, cache=c, train=train, flip=True).make_episode(index))
            for c in (False, True)
        )
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("name", ["threads", "tfdata"])
def test_batches_hold_nested_dictionaries(name):
    episodes = loader(("rgb", "motion"))
    batches = episode_batches(
        episodes.make_episode, start=1, stop=6, batch=2, loader=name, workers=2
    )
    found = list(batches)
    assert [batch["index"].tolist() for batch in found] == [[1, 2], [3, 4], [5]]
    for batch in found:
        assert list(batch) == ["support", "query", "query_labels", "class_ids", "index"]
        for row, index in enumerate(batch["index"].tolist()):
            expected = flatten(episodes.make_episode(index))
            assert flatten(batch).keys() == expected.keys()
            for path, value in flatten(batch).items():
                np.testing.assert_array_equal(value[row], expected[path])


def test_episodes_of_several_features():
    split, rng = Noise().split, np.random.default_rng(0)
    features = {"frames": rng.random((6, 3, 8, 5)), "flow": rng.random((6, 3, 8, 4, 2))}
    episode = FeatureEpisodes(split, features, way=2, shot=1, queries=2, seed=3).make_episode(0)
    alone = FeatureEpisodes(split, {"frames": features["frames"]}, 2, 1, 2, seed=3).make_episode(0)
    for part, shape in (("support", (2, 1)), ("query", (4,))):
        assert episode[part]["flow"].shape == (*shape, 8, 4, 2)
        np.testing.assert_array_equal(episode[part]["frames"], alone[part]["frames"])
        # All features of a place are those of one clip.
        for place in np.ndindex(shape):
            (video, clip), *more = np.argwhere(
                (features["frames"] == episode[part]["frames"][place]).all((2, 3))
            )
            assert not more
            np.testing.assert_array_equal(
                episode[part]["flow"][place], features["flow"][video, clip]
            )


def test_the_classifier_reads_modalities_too():
    settings = ClipSettings(3, 18, 16, "mdmf", "ends", 2)
    reader = ClipReader(settings, modalities=("rgb", "inverse"))
    frames = Noise().all_frames(3)
    read = reader.read(frames).clips
    (window,) = cut_windows(timed_frames(frames, 10.0), reader, 0.5, 0.5)
    for clips in (read, window.clips):
        assert clips["inverse"].shape == (2, 3, 16, 16, 4)
        np.testing.assert_array_equal(clips["rgb"], ClipReader(settings).read(frames).clips["rgb"])
        # Pillow rounds twice: after the rows and after the columns.
        assert abs(255 - clips["rgb"].astype(int) - clips["inverse"][..., :3]).max() <= 2


def test_wrong_pictures_and_names_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="'depth' is unknown; known: rgb, dense, inverse"):
        loader(("rgb", "depth"))
    with pytest.raises(ConfigError, match="no modality is named"):
        loader(())

    class Wrong(Modality):
        def frames(self, source, video, numbers, rgb):
            return self.change(rgb)

    for change, words in (
        (lambda x: x[1:], r"gives uint8 \[7, 20, 26, 3\], not uint8 \[8, H, W, C\]"),
        (lambda x: x / 255, r"gives float64 \[8, 20, 26, 3\]"),
        (lambda x: x[..., 0], r"gives uint8 \[8, 20, 26\]"),
    ):
        monkeypatch.setitem(MODALITIES, "wrong", Wrong())
        monkeypatch.setattr(Wrong, "change", staticmethod(change), raising=False)
        with pytest.raises(DataError, match=f"mp4: modality 'wrong' {words}"):
            loader(("rgb", "wrong")).make_episode(0)
    monkeypatch.setattr(Wrong, "change", staticmethod(lambda x: x))
    monkeypatch.setattr(Wrong, "scale", lambda self, frames, to_size: frames[:, :5])
    with pytest.raises(DataError, match=r"gives uint8 \[8, 5, 26, 3\], not uint8 \[8, 20, 26, C\]"):
        loader(("rgb", "wrong")).make_episode(0)
