"""What a look at the support videos finds."""

import numpy as np
import pytest

from mdmf_jax.classifier import looks
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.classifier.support import SupportClass, SupportSet
from mdmf_jax.classifier.verdict import judge

RED, GREEN, BLUE = "test_red_box", "test_green_box", "test_blue_box"


def support_of(pictures, features=None):
    """A support set of pictures by class, [K, T, h, w, 3] each."""
    classes = {}
    for name, frames in pictures.items():
        given = features[name] if features else frames.reshape(len(frames), len(frames[0]), -1)
        sources = [f"{name}/{i}.mp4" for i in range(len(frames))]
        classes[name] = SupportClass(name, np.zeros(2), {"frames": given}, sources, frames)
    return SupportSet(classes)


def verdict_of(support, nearest):
    labels = np.nonzero(support.mask)[0]
    logits = np.eye(len(support.classes))[nearest]
    names = list(support.classes)
    return judge(logits, labels, names, support.sources, origin="leave_one_out")


def scenes(rng, of_class):
    """Four clips of 3 frames of each of 3 classes: a moving spot before a wall.

    Args:
      of_class: whether the wall's colour belongs to the class; else it is drawn for each clip.
    """
    walls = rng.integers(0, 200, (3, 3))
    made = {}
    for number, name in enumerate("abc"):
        clips = np.empty((4, 3, 16, 16, 3), np.uint8)
        for clip in clips:
            clip[:] = walls[number] if of_class else rng.integers(0, 200, 3)
            for frame, shift in zip(clip, (0, 4, 8), strict=True):
                frame[4:6, 4 + shift * (number == 1) : 6 + shift * (number == 1)] = 255
        made[name] = clips
    return made


@pytest.mark.parametrize("of_class", [True, False])
def test_classes_that_differ_in_the_wall(of_class):
    support = support_of(scenes(np.random.default_rng(0), of_class))
    verdict = verdict_of(support, np.repeat(np.arange(3), 4))
    lines = looks.support_warnings(support, verdict)
    assert any("may differ in the background" in line for line in lines) == of_class
    labels, nearest = looks.single_frame_answers(support)
    assert ((labels == nearest).sum() == 12) == of_class


def test_whole_clips_that_tell_more_than_a_frame_are_not_blamed():
    """Ten of twelve by the wall alone, all of them by the whole clips."""
    pictures = scenes(np.random.default_rng(0), True)
    pictures["a"][0], pictures["b"][0] = pictures["b"][0].copy(), pictures["a"][0].copy()
    support = support_of(pictures)
    assert looks.background_line(support, verdict_of(support, np.repeat(np.arange(3), 4))) == ""


def test_a_stranger_among_its_class():
    features = np.zeros((3, 4, 1, 3), np.float32)
    features[np.arange(3), :, 0, np.arange(3)] = 1
    features[2, :, 0, 1] = [0.0, 0.5, 0.6, 0.1]  # of these the third is most like class b
    features[1, 0, 0] = [0.1, 0.8, 0.6]
    support = support_of(
        scenes(np.random.default_rng(0), False), dict(zip("abc", features, strict=True))
    )
    nearest = np.repeat(np.arange(3), 4)
    nearest[4] = 2
    verdict = verdict_of(support, nearest)
    assert [video.source for video in looks.outliers(verdict)] == ["b/0.mp4"]
    line = looks.support_warnings(support, verdict)[-1]
    assert "b/0.mp4 is unlike the other clips of 'b'" in line and "'c' (most like 2.mp4)" in line


def test_the_same_clip_twice_and_in_two_classes(tiny_model, by_class, tmp_path):
    copy = tmp_path / "another name.mp4"
    copy.write_bytes(by_class[RED][0].read_bytes())
    videos = {RED: [*by_class[RED][:2], copy], GREEN: by_class[GREEN][:2]}
    classifier = FewShotClassifier(tiny_model).fit(videos)
    lines = looks.same_videos(classifier.support_)
    assert lines == [f"the same clip twice in '{RED}': {by_class[RED][0]} and {copy}; remove one"]
    assert lines[0] in classifier.warnings_
    # Neither twin helps the other when it is left out.
    groups = classifier.support_.groups[classifier.classes_.index(RED)]
    assert groups[0] == groups[2] != groups[1]
    videos[GREEN] = [*by_class[GREEN][:2], by_class[RED][1]]
    (_, line) = looks.same_videos(FewShotClassifier(tiny_model).fit(videos).support_)
    assert line.startswith("the same clip in two classes: ") and "one of them is wrong" in line


def test_test_clips_among_the_support_are_named(tiny_model, by_class):
    videos = {name: paths[:2] for name, paths in by_class.items()}
    classifier = FewShotClassifier(tiny_model).fit(videos)
    tested = {name: paths[1:3] for name, paths in by_class.items()}
    found = classifier.evaluate(tested)["in_support"]
    assert found == [str(paths[1]) for paths in by_class.values()]
    assert classifier.evaluate({BLUE: by_class[BLUE][2:]})["in_support"] == []
