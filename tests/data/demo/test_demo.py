import itertools
import json
import multiprocessing
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import av
import numpy as np
import pytest

from mdmf_jax.data.demo import dataset as demo
from mdmf_jax.data.demo.dataset import demo_classes, demo_clip, demo_folder, ensure_demo
from mdmf_jax.data.demo.render import FRAMES, MAX_FRAMES, MOTIONS, SIDE, object_path
from mdmf_jax.errors import DataError
from mdmf_jax.files import cache_folder

CLIPS = 3  # as in conftest.py


def files_of(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_every_ordered_pair_is_in_one_split():
    classes = {split: demo_classes(split) for split in demo.SPLITS}
    assert {split: len(c) for split, c in classes.items()} == {"train": 40, "val": 8, "test": 16}
    everything = [pair for c in classes.values() for pair in c]
    assert sorted(everything) == sorted(itertools.product(MOTIONS, repeat=2))


def test_partition_is_balanced():
    partners = {}
    for split in demo.SPLITS:
        pairs = {frozenset(pair) for pair in demo_classes(split) if pair[0] != pair[1]}
        for first, second in demo_classes(split):
            assert (second, first) in demo_classes(split)
        partners[split] = Counter(motion for pair in pairs for motion in pair)
    assert all(partners["test"][m] == 2 for m in MOTIONS)
    assert all(partners["val"][m] == 1 for m in MOTIONS)
    assert all(partners["train"][m] == 4 for m in MOTIONS)
    assert all((m, m) in demo_classes("train") for m in MOTIONS)


def test_layout(demo_root):
    listed = {}
    for split in demo.SPLITS:
        lines = (demo_root / "splits" / f"{split}list03.txt").read_text().splitlines()
        listed[split] = [line.split("/") for line in lines]
        assert {c for c, _ in listed[split]} == {demo_folder(*pair) for pair in demo_classes(split)}
        assert set(Counter(c for c, _ in listed[split]).values()) == {CLIPS}
    on_disk = {(p.parent.name, p.stem) for p in (demo_root / "videos").glob("*/*.mp4")}
    assert on_disk == {tuple(entry) for entries in listed.values() for entry in entries}
    assert ("moving_left_then_growing", "moving_left_then_growing_0001") in on_disk


def test_files_are_h264_and_show_the_drawn_frames(demo_root):
    for first, second in demo_classes("val"):
        name = demo_folder(first, second)
        with av.open(str(demo_root / "videos" / name / f"{name}_0002.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            shown = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        drawn = demo_clip(first, second, 2)
        assert np.shape(shown) == drawn.shape
        assert drawn.shape[1:] == (SIDE, SIDE, 3)
        assert np.abs(np.array(shown, np.float32) - drawn).mean() < 6


def test_clip_is_a_function_of_seed_class_and_number():
    clip = demo_clip("spinning", "growing", 1, seed=3)
    np.testing.assert_array_equal(clip, demo_clip("spinning", "growing", 1, seed=3))
    others = [
        demo_clip("spinning", "growing", 2, seed=3),
        demo_clip("spinning", "growing", 1, seed=4),
        demo_clip("growing", "spinning", 1, seed=3),
    ]
    for other in others:
        assert other.shape != clip.shape or (other != clip).mean() > 0.5


def test_lengths_vary():
    lengths = Counter(len(demo_clip("growing", "growing", clip)) for clip in range(1, 61))
    assert lengths[FRAMES] > 30
    assert len(lengths) > 3
    assert max(lengths) <= MAX_FRAMES and min(lengths) == FRAMES


def test_two_generations_are_byte_for_byte_equal(demo_root, tmp_path):
    again = ensure_demo(tmp_path, clips=CLIPS, workers=5)
    assert files_of(again) == files_of(demo_root)


def changes(path, piece):
    """What happened in a slice of the frames: names of the motions that it shows."""
    x, y = np.diff(path.x[piece]), np.diff(path.y[piece])
    size, angle = np.diff(path.radius[piece]), np.diff(path.angle[piece])
    seen = {
        "moving left": (x < 0).any(),
        "moving right": (x > 0).any(),
        "moving up": (y < 0).any(),
        "moving down": (y > 0).any(),
        "growing": (size > 0).any(),
        "shrinking": (size < 0).any(),
        "spinning": (angle != 0).any(),
        "blinking": (path.opacity[piece] < 0.5).any(),
    }
    return {name for name, present in seen.items() if present}


@pytest.mark.parametrize("pair", [*itertools.product(MOTIONS, repeat=2)], ids=" then ".join)
def test_object_does_what_the_class_says_in_that_order(pair):
    for seed in range(20):
        path = object_path(*pair, FRAMES, np.random.default_rng(seed))
        assert changes(path, slice(None, 9)) == {pair[0]}
        assert changes(path, slice(15, None)) == {pair[1]}


@pytest.mark.parametrize("pair", [("moving left", "growing"), ("moving up", "moving up")])
def test_object_stays_in_the_frame_and_moves_far(pair):
    for seed in range(50):
        path = object_path(*pair, FRAMES, np.random.default_rng(seed))
        for centre in (path.x, path.y):
            assert (centre - path.radius).min() >= 0
            assert (centre + path.radius).max() <= 1
        assert max(np.ptp(path.x), np.ptp(path.y)) > 0.35


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "empty"])
def test_damaged_file_is_made_again(tmp_path, damage):
    root = ensure_demo(tmp_path, clips=1)
    good = files_of(root)
    video = root / "videos" / "blinking_then_growing" / "blinking_then_growing_0001.mp4"
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    untouched = root / "splits" / "testlist03.txt"
    before = untouched.stat().st_mtime_ns
    if damage == "delete":
        video.unlink()
    else:
        new = {"truncate": content[:100], "flip": content, "empty": b""}[damage]
        video.write_bytes(bytes(new))
    assert ensure_demo(tmp_path, clips=1) == root
    assert files_of(root) == good
    assert untouched.stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identity": 0}'])
def test_damaged_manifest_makes_all_again(tmp_path, text):
    root = ensure_demo(tmp_path, clips=1)
    good = files_of(root)
    (root / "manifest.json").write_text(text)
    ensure_demo(tmp_path, clips=1)
    assert files_of(root) == good
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == [root.name]


def test_other_generator_version_is_not_used(tmp_path):
    root = ensure_demo(tmp_path, clips=1)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["identity"]["generator"] += 1
    video = root / "videos" / "blinking_then_growing" / "blinking_then_growing_0001.mp4"
    good = video.read_bytes()
    content = b"of another version"
    video.write_bytes(content)
    entry = str(video.relative_to(root))
    assert entry in manifest["files"]
    manifest["files"][entry] = [len(content), zlib.crc32(content)]
    (root / "manifest.json").write_text(json.dumps(manifest))
    ensure_demo(tmp_path, clips=1)
    assert video.read_bytes() == good


def test_leftover_of_a_killed_run_does_no_harm(tmp_path):
    name = ensure_demo(tmp_path / "a", clips=1).name
    leftover = tmp_path / "b" / f".{name}.new" / "videos"
    leftover.mkdir(parents=True)
    (leftover / "junk").write_text("half a file")
    root = ensure_demo(tmp_path / "b", clips=1)
    assert files_of(root) == files_of(tmp_path / "a" / name)


def test_intact_data_is_left_alone(tmp_path, capsys):
    root = ensure_demo(tmp_path, clips=1)
    assert "making" in capsys.readouterr().err
    times = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    ensure_demo(tmp_path, clips=1)
    assert capsys.readouterr().err == ""
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == times


def test_two_processes_at_once_make_one_data_set(tmp_path):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        roots = list(pool.map(ensure_demo, [tmp_path] * 2, [0] * 2, [1] * 2))
    assert roots[0] == roots[1]
    assert len(list(roots[0].rglob("*.mp4"))) == 64
    alone = ensure_demo(tmp_path / "alone", clips=1)
    assert files_of(roots[0]) == files_of(alone)


def test_unwritable_cache_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(DataError, match=f"{blocker}.*MDMF_CACHE") as caught:
        ensure_demo(blocker / "cache", clips=1)
    assert "\n" not in str(caught.value)


def test_no_clips_is_an_error(tmp_path):
    with pytest.raises(DataError, match="clips=0"):
        ensure_demo(tmp_path, clips=0)


def test_default_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("MDMF_CACHE")
    assert cache_folder() == tmp_path / "b" / "mdmf_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mdmf_jax"
