"""Splits of the few-shot protocols, from class folders and from lists in several formats."""

import pytest

from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.errors import DataError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def class_tree(root, protocol, rename=lambda folder: folder, videos=("v2.avi", "v1.mp4")):
    """A folder with videos for every class of a protocol, and one that is not a class."""
    for class_ in protocol.classes:
        touch(root, *(f"{rename(class_.folder)}/{video}" for video in videos))
    touch(root, "no class at all/v1.mp4")


def test_classes_of_a_part_come_from_the_protocol(tmp_path):
    protocol = protocols.load("hmdb51_arn")
    class_tree(tmp_path, protocol)
    splits = {
        split: load_split(tmp_path, "", split, protocol) for split in ("train", "val", "test")
    }
    assert {name: len(split.folders) for name, split in splits.items()} == {
        "train": 31,
        "val": 10,
        "test": 10,
    }
    test = splits["test"]
    assert test.folders == (
        "fencing", "kick", "kick_ball", "pick", "pour", "pushup", "run", "sit", "smoke", "talk"
    )  # fmt: skip
    assert test.names[2] == test.prompts[2] == "kick ball"
    assert test.videos[2] == ("kick_ball/v1.mp4", "kick_ball/v2.avi")
    assert test.ids[4:6] == ("kick_ball/v1", "kick_ball/v2")


def test_folders_may_be_written_otherwise(tmp_path):
    """Episodes do not depend on it: classes are called and ordered as in the protocol."""
    protocol = protocols.load("ucf101_arn")
    class_tree(tmp_path / "usual", protocol)
    class_tree(tmp_path / "other", protocol, lambda folder: folder.lower())
    usual, other = (
        load_split(tmp_path / name, "", "test", protocol) for name in ("usual", "other")
    )
    assert usual.folders == other.folders and usual.ids == other.ids
    assert usual.paths[0] == "BlowingCandles/v1.mp4" and other.paths[0] == "blowingcandles/v1.mp4"


def test_numbered_folders_are_ordered_as_numbers_and_named_in_words(tmp_path):
    protocol = protocols.load("ssv2_otam")
    for folder in ("158", "7", "0", "12", "11"):
        touch(tmp_path, f"test/{folder}/1.webm")
    split = load_split(tmp_path, "", "test", protocol)
    assert split.folders == ("0", "7", "11", "12", "158")
    assert split.names[0].lower().startswith("approaching something")


def test_split_folders_with_a_protocol(tmp_path):
    protocol = protocols.load("hmdb51_arn")
    touch(tmp_path, "test/kick ball/1.mp4", "test/run/1.mp4", "train/kick/1.mp4")
    split = load_split(tmp_path, "", "test", protocol)
    assert split.folders == ("kick_ball", "run") and split.paths[0] == "test/kick ball/1.mp4"
    with pytest.raises(DataError, match="train/kick: is not a train class of hmdb51_arn"):
        load_split(tmp_path, "", "train", protocol)


def test_missing_classes_and_protocols_of_lists(tmp_path):
    touch(tmp_path, "run/1.mp4")
    with pytest.raises(DataError, match="9 of 10 classes have no folder"):
        load_split(tmp_path, "", "test", protocols.load("hmdb51_arn"))
    with pytest.raises(DataError, match="defined by lists of videos; set data.splits"):
        load_split(tmp_path, "", "test", protocols.load("kinetics_cmn"))


LISTS = {
    "testlist03.txt": "{folder}/{video}",
    "testlist.txt": "{number}//train_256/{folder}/{video}.mp4",
    "test_few_shot.txt": "{number}/{video}",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("flat", [False, True])
def test_lists_of_all_formats_give_the_same_split(tmp_path, name, flat):
    """With class folders, and with all videos in one folder, as SSv2 is downloaded."""
    protocol = protocols.load("ssv2_cmn")
    classes = protocol.classes_of("test")[3:6]
    lines = []
    for class_ in classes:
        for video in (f"{class_.number}7", f"{class_.number}12"):
            folder = "." if flat else class_.folder.replace(" ", "_")
            touch(tmp_path / "videos", f"{folder}/{video}.webm")
            number = f"test{class_.number}"
            lines.append(LISTS[name].format(folder=class_.folder, number=number, video=video))
    (tmp_path / name).write_text("\n".join(reversed(lines)), encoding="utf-8")
    split = load_split(tmp_path / "videos", tmp_path, "test", protocol)
    assert split.folders == tuple(class_.folder for class_ in classes)
    assert split.names == tuple(class_.name for class_ in classes)
    first = classes[0]
    assert split.ids[:2] == (f"{first.folder}/{first.number}12", f"{first.folder}/{first.number}7")
    assert all((tmp_path / "videos" / path).is_file() for path in split.paths)


def test_lists_that_do_not_fit(tmp_path):
    protocol = protocols.load("hmdb51_arn")
    touch(tmp_path, "run/1.mp4", "walk/1.mp4")
    (tmp_path / "testlist03.txt").write_text("run/1\nwalk/1\n")
    with pytest.raises(DataError, match="line 2: 'walk' is a train class of hmdb51_arn"):
        load_split(tmp_path, tmp_path, "test", protocol)
    (tmp_path / "testlist03.txt").write_text("run/1\nfly/1\n")
    with pytest.raises(DataError, match="line 2: 'fly' is not a class of hmdb51_arn"):
        load_split(tmp_path, tmp_path, "test", protocol)
    (tmp_path / "testlist03.txt").write_text("run/1\ntest3/1\n")
    with pytest.raises(DataError, match=r"line 2: names its class by a number \(test3\)"):
        load_split(tmp_path, tmp_path, "test")


def test_frame_folders_and_video_files_give_the_same_ids(tmp_path):
    touch(tmp_path / "files", "train/a/v.1.mp4", "train/a/v-1.mp4", "train/b/v 3.avi")
    touch(tmp_path / "frames", "train/a/v.1/1.jpg", "train/a/v-1/1.jpg", "train/b/v 3/1.jpg")
    files = load_split(tmp_path / "files", "", "train")
    frames = load_split(tmp_path / "frames", "", "train", frames=True)
    assert files.ids == frames.ids == ("a/v-1", "a/v.1", "b/v 3")
    assert frames.paths == ("train/a/v-1", "train/a/v.1", "train/b/v 3")
