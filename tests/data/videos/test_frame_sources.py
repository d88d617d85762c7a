import json
from concurrent.futures import ThreadPoolExecutor

import made_videos as made
import numpy as np
import pytest
from PIL import Image

from mdmf_jax.data.episodes.drawing import sample_episode
from mdmf_jax.data.prepare.decode import Images
from mdmf_jax.data.prepare.run import prepare
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.data.videos.example import bytes_feature
from mdmf_jax.data.videos.source_frames import FrameFolders
from mdmf_jax.data.videos.source_shards import Shards
from mdmf_jax.data.videos.source_videos import VideoFiles
from mdmf_jax.data.videos.sources import find_kind, open_source
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import ConfigError, DataError

HEIGHT, WIDTH = 36, 48
# Names that sort in another order with their extensions than without.
NAMES = ("v.mp4", "v b.mkv", "v-1.avi", "V.webm")
CODECS = {"avi": "mpeg4", "webm": "libvpx"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same videos as files, as folders of PNG images, and prepared."""
    root = tmp_path_factory.mktemp("sources")
    for class_ in ("b c", "B", "a"):
        for number, name in enumerate(NAMES):
            path = root / "videos" / "val" / class_ / name
            codec = CODECS.get(path.suffix[1:], "libx264")
            frames = made.pictures(11 + number, HEIGHT, WIDTH, first=50 * number + ord(class_[0]))
            made.write(path, frames, codec)
            folder = root / "frames" / "val" / class_ / path.stem
            folder.mkdir(parents=True)
            for index, frame in enumerate(read_video(path)):
                Image.fromarray(frame).save(folder / f"{index}.png")
    split = load_split(root / "videos", "", "val")
    images = load_split(root / "frames", "", "val", frames=True)
    prepare(root / "videos", [split], root / "shards", images=Images(HEIGHT, 97), shard_videos=5)
    return {
        "videos": VideoFiles(root / "videos", split),
        "frames": FrameFolders(root / "frames", images),
        "shards": Shards(root / "shards", "val"),
    }


def test_same_videos_in_the_same_order(sources):
    videos = sources["videos"]
    assert len(videos) == 12 and videos.class_of(0) == 0 and videos.class_of(11) == 2
    for source in sources.values():
        assert len(source) == 12
        assert source.split.ids == videos.split.ids
        assert source.split.folders == ("B", "a", "b c")
        for item in range(12):
            assert source.class_of(item) == videos.class_of(item)
            assert source.num_frames(item) == videos.num_frames(item)
            assert videos.split.ids[item].rpartition("/")[2] in source.describe(item)


@pytest.mark.parametrize("indices", [[0], [10, 3], [2, 2, 5], range(11)])
def test_same_frames_up_to_jpeg(sources, indices):
    for item in (0, 5, 11):
        expected = read_video(sources["videos"].describe(item))[list(indices)]
        for name, source in sources.items():
            frames = source.frames(item, np.array(indices))
            assert frames.dtype == np.uint8 and frames.shape == (len(indices), HEIGHT, WIDTH, 3)
            difference = abs(frames.astype(int) - expected)
            if name == "shards":
                assert difference.mean() < 6
            else:
                assert not difference.any()
    wrong = abs(sources["shards"].frames(0, [0]).astype(int) - sources["videos"].frames(0, [6]))
    assert wrong.mean() > 15  # another frame is not that near


def test_all_frames(sources):
    for source in sources.values():
        whole = source.all_frames(4)
        assert len(whole) == source.num_frames(4)
        np.testing.assert_array_equal(whole[[7, 1]], source.frames(4, [7, 1]))


def test_same_episodes(sources):
    def drawn(source):
        counts = source.split.counts
        options = {"way": 2, "shot": 1, "queries": 2, "seed": 3, "split": "val", "index": 9}
        return sample_episode(counts, **options)

    first, *others = map(drawn, sources.values())
    for other in others:
        np.testing.assert_array_equal(other.classes, first.classes)
        np.testing.assert_array_equal(other.support, first.support)
        np.testing.assert_array_equal(other.query, first.query)


def test_threads_may_share_a_source(sources):
    items = [item % 12 for item in range(60)]
    for source in sources.values():
        expected = [source.frames(item, [1, 8]) for item in range(12)]
        with ThreadPoolExecutor(4) as pool:
            for item, frames in zip(items, pool.map(lambda i: source.frames(i, [1, 8]), items)):  # noqa: B023, B905
                np.testing.assert_array_equal(frames, expected[item])


def test_frames_that_are_not_there(sources):
    for source in sources.values():
        with pytest.raises(DataError, match="has 11 frames, frame number 11"):
            source.frames(source.split.ids.index("a/v"), [0, 11])
        for bad in ([-1], []):
            with pytest.raises(DataError, match="0 or more"):
                source.frames(0, bad)


def test_kind_is_found_by_looking(sources, tmp_path):
    root = sources["videos"].root.parent
    kinds = {"videos": "videos", "frames": "frames", "shards": "prepared"}
    for folder, kind in kinds.items():
        assert find_kind("auto", root / folder) == kind
    split_of = {False: "videos", True: "frames"}

    def split(frames):
        return load_split(root / split_of[frames], "", "val", frames=frames)

    for folder, type_ in {"videos": VideoFiles, "frames": FrameFolders, "shards": Shards}.items():
        assert type(open_source("auto", root / folder, "val", split)) is type_
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "thumbnail.jpg").write_bytes(b"")
    assert find_kind("auto", tmp_path) == "videos"  # an image, but not of a video's folder
    with pytest.raises(ConfigError, match="data.source='shards' is unknown; use one of auto, vid"):
        find_kind("shards", root)


def test_damaged_frame_folders(tmp_path):
    def source(name, files):
        folder = tmp_path / "test" / "c" / name
        folder.mkdir(parents=True)
        for file, image in files.items():
            if isinstance(image, bytes):
                (folder / file).write_bytes(image)
            else:
                image.save(folder / file)
        split = load_split(tmp_path, "", "test", frames=True)
        return FrameFolders(tmp_path, split), split.ids.index(f"c/{name}")

    small, large = Image.new("RGB", (4, 4)), Image.new("RGB", (5, 4))
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    cut = (tmp_path / "cut.png").read_bytes()[:1000]
    cases = {
        "empty": ({}, "holds no .jpg or .png images"),
        "text": ({"1.jpg": b"hello", "2.jpg": small}, "1.jpg: is not a JPEG or PNG image"),
        "damaged": ({"1.png": cut, "2.png": small}, "1.png: is damaged"),
        "uneven": ({"1.png": small, "2.png": large}, "differ in size"),
    }
    for name, (files, message) in cases.items():
        frames, item = source(name, files)
        with pytest.raises(DataError, match=message):
            frames.frames(item, [0, 1])


@pytest.fixture
def copy(sources, tmp_path):
    """A prepared data set that may be damaged."""
    import shutil

    shutil.copytree(sources["videos"].root.parent / "shards", tmp_path / "copy")
    return tmp_path / "copy"


def test_damaged_prepared_data(copy):
    shard = sorted(copy.glob("prepared_videos/*/*array_record*"))[1]
    content = shard.read_bytes()
    source = Shards(copy, "val")
    start = content.index(b"\xff\xd8\xff")  # of the first image, that of video 5
    shard.write_bytes(content[:start] + bytes(300) + content[start + 300 :])
    source.all_frames(0)  # lies in another shard
    with pytest.raises(DataError, match="copy.*run prepare again"):
        source.frames(5, [0])
    shard.unlink()
    with pytest.raises(DataError, match="00001-of-00003: no such file"):
        Shards(copy, "val").frames(5, [0])
    with pytest.raises(DataError, match="has no split 'train'"):
        Shards(copy, "train")


@pytest.mark.parametrize("name", ["prepared.json", "val.index.json"])
def test_damaged_index(copy, name):
    for text in ("", "[]", '{"format": 99}', None):
        (copy / name).unlink(missing_ok=True)
        if text is not None:
            (copy / name).write_text(text)
        with pytest.raises(DataError, match="copy.*run prepare again"):
            Shards(copy, "val")


def test_index_that_does_not_fit(copy):
    index = json.loads((copy / "val.index.json").read_text())
    index["frames"][3] += 1
    (copy / "val.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="does not fit prepared.json"):
        Shards(copy, "val")


def test_field_of_an_example():
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def feature(**lists):
        return tf_feature_pb2.Feature(**lists)

    content = bytes(range(256)) * 3
    features = {
        "frame": feature(int64_list=tf_feature_pb2.Int64List(value=[300])),
        "id": feature(bytes_list=tf_feature_pb2.BytesList(value=[b"jpeg"])),
        "jpeg": feature(bytes_list=tf_feature_pb2.BytesList(value=[content])),
        "seconds": feature(float_list=tf_feature_pb2.FloatList(value=[0.5])),
    }
    example = tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=features))
    for deterministic in (True, False):
        serialized = example.SerializeToString(deterministic=deterministic)
        assert bytes(bytes_feature(serialized, b"jpeg")) == content
        assert bytes(bytes_feature(serialized, b"id")) == b"jpeg"
    with pytest.raises(ValueError, match="no feature b'png'"):
        bytes_feature(serialized, b"png")
    for end in range(1, len(serialized)):
        with pytest.raises(ValueError, match="damaged|no feature"):
            bytes_feature(serialized[:end], b"missing")
