import numpy as np
import pytest

from mdmf_jax.data.protocols.splits import class_name, load_split
from mdmf_jax.errors import DataError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def write_list(folder, name, *lines, end="\n"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(end.join(lines).encode())


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("moving_left_then_growing", "moving left then growing"),
        ("kick_ball", "kick ball"),
        ("YoYo", "yo yo"),
        ("CuttingInKitchen", "cutting in kitchen"),
        ("Put_something next_to", "put something next to"),
        ("hurling_(sport)", "hurling (sport)"),
        ("TVShow", "tv show"),
        ("archery", "archery"),
    ],
)
def test_class_name(folder, name):
    assert class_name(folder) == name


def test_list_with_and_without_extensions(tmp_path):
    touch(tmp_path, "b_c/v2.avi", "b_c/v1.mp4", "b_c/unlisted.mp4", "A/x#(1)[2].mp4", "A/notes.txt")
    write_list(tmp_path / "s", "trainlist03.txt", "b_c/v2", "A/x#(1)[2]", "b_c/v1.mp4", "b_c/v2")
    split = load_split(tmp_path, tmp_path / "s", "train")
    assert split.name == "train"
    assert split.folders == ("A", "b_c")
    assert split.names == ("a", "b c")
    assert split.videos == (("A/x#(1)[2].mp4",), ("b_c/v1.mp4", "b_c/v2.avi"))
    assert split.paths == ("A/x#(1)[2].mp4", "b_c/v1.mp4", "b_c/v2.avi")
    assert split.counts.tolist() == [1, 2] and split.num_videos == 3


def test_flat_numbers(tmp_path):
    touch(tmp_path, *(f"val/{c}/{v}.mp4" for c, v in [("a", 0), ("b", 0), ("b", 1), ("c", 0)]))
    split = load_split(tmp_path, "", "val")
    for class_, videos in enumerate(split.videos):
        for number, video in enumerate(videos):
            assert split.paths[split.offsets[class_] + number] == video
    assert split.offsets.dtype == np.int64


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spaces_and_underscores_are_the_same(tmp_path, end):
    touch(tmp_path, "playing_ice_hockey/-v_1.mp4", "playing_ice_hockey/v2.mp4")
    lines = ["playing ice hockey/-v 1", "playing ice_hockey/v2", ""]
    write_list(tmp_path / "s", "testlist.txt", *lines, end=end)
    split = load_split(tmp_path, tmp_path / "s", "test")
    assert split.videos == (("playing_ice_hockey/-v_1.mp4", "playing_ice_hockey/v2.mp4"),)


def test_list03_comes_first(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/2.mp4")
    write_list(tmp_path / "s", "vallist.txt", "a/1")
    write_list(tmp_path / "s", "vallist03.txt", "a/2")
    assert load_split(tmp_path, tmp_path / "s", "val").paths == ("a/2.mp4",)


def test_folders(tmp_path):
    touch(tmp_path, "train/B/2.mp4", "train/B/1.MOV", "train/A/1.webm", "test/C/1.mp4")
    touch(tmp_path, "train/.hidden/1.mp4", "train/A/.2.mp4", "train/A/readme.md")
    split = load_split(tmp_path, "", "train")
    assert split.folders == ("A", "B")
    assert split.paths == ("train/A/1.webm", "train/B/1.MOV", "train/B/2.mp4")


def test_demo_data(demo_root):
    split = load_split(demo_root / "videos", demo_root / "splits", "test")
    assert len(split.folders) == 16
    assert "moving left then moving right" in split.names
    assert all((demo_root / "videos" / path).is_file() for path in split.paths)


def message(*arguments):
    with pytest.raises(DataError) as caught:
        load_split(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_root_list_and_part_folder(tmp_path):
    assert "absent" in message(tmp_path / "absent", "", "train")
    assert "trainlist03.txt" in message(tmp_path, tmp_path, "train")
    assert str(tmp_path / "train") in message(tmp_path, "", "train")
    (tmp_path / "train").mkdir()
    assert str(tmp_path / "train") in message(tmp_path, "", "train")
    assert "'tests'" in message(tmp_path, "", "tests")


def test_missing_videos_are_counted_and_the_first_named(tmp_path):
    touch(tmp_path, "a/1.mp4")
    write_list(tmp_path / "s", "trainlist03.txt", "a/1", "a/lost", "other/2")
    text = message(tmp_path, tmp_path / "s", "train")
    assert "lacks 2 " in text and "a/lost" in text


@pytest.mark.parametrize("line", ["only-a-video", "a/b/c", "/video", "class/"])
def test_malformed_line_is_named_with_its_number(tmp_path, line):
    touch(tmp_path, "a/1.mp4")
    write_list(tmp_path / "s", "trainlist03.txt", "a/1", line)
    text = message(tmp_path, tmp_path / "s", "train")
    assert "line 2" in text and repr(line) in text


@pytest.mark.parametrize("line", ["../secret", "a/..", "./secret"])
def test_lists_cannot_leave_the_root(tmp_path, line):
    touch(tmp_path, "root/a/1.mp4", "secret.mp4")
    write_list(tmp_path / "s", "trainlist03.txt", line)
    assert "not a path within the data set" in message(tmp_path / "root", tmp_path / "s", "train")


def test_empty_list(tmp_path):
    write_list(tmp_path / "s", "trainlist03.txt", "", "  ", "")
    assert "lists no videos" in message(tmp_path, tmp_path / "s", "train")


def test_one_video_under_two_extensions(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/1.avi")
    write_list(tmp_path / "s", "trainlist03.txt", "a/1")
    text = message(tmp_path, tmp_path / "s", "train")
    assert "1.avi" in text and "1.mp4" in text
