"""FewShotClassifier on coloured videos, which even random features tell apart."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import CheckpointError, ConfigError, DataError, UserError

RED, GREEN, BLUE = "test_red_box", "test_green_box", "test_blue_box"


@pytest.fixture(scope="module")
def fitted(tiny_model, support_folder):
    return FewShotClassifier(tiny_model).fit(support_folder)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def others(by_class):
    """Videos that are in no support set, and their labels."""
    pairs = [(path, name) for name, paths in by_class.items() for path in paths[3:]]
    return [p for p, _ in pairs], [n for _, n in pairs]


def test_unequal_classes_from_a_folder(fitted, by_class):
    assert fitted.classes_ == sorted(by_class)
    assert fitted.counts_ == [2, 1, 3]
    made = fitted.calibration_
    assert (made.origin, made.known, made.foreign) == ("leave_one_out", 5, 6)
    paths, labels = others(by_class)
    probabilities = fitted.predict_proba(paths)
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert [fitted.classes_[i] for i in probabilities.argmax(1)] == labels


def test_lists_arrays_and_folders_are_one(fitted, tiny_model, support_folder, by_class):
    paths = sorted(support_folder.glob("*/*.mp4"))
    labels = [path.parent.name for path in paths]
    arrays = [read_video(path) for path in paths]
    queries, _ = others(by_class)
    expected = fitted.predict_proba(queries)
    for videos in (paths, arrays):
        other = FewShotClassifier(tiny_model).fit(videos, labels)
        np.testing.assert_allclose(other.predict_proba(queries), expected, atol=1e-6)


def test_classes_come_and_go(tiny_model, by_class):
    first = {name: by_class[name][:2] for name in (RED, GREEN)}
    classifier = FewShotClassifier(tiny_model).fit(first)
    query = by_class[BLUE][3]
    before = classifier.predict_proba([query])
    classifier.add_class(BLUE, by_class[BLUE][:2])
    assert classifier.classes_ == [RED, GREEN, BLUE]
    assert classifier.predict_proba(query).argmax() == 2
    classifier.remove_class(BLUE)
    np.testing.assert_array_equal(classifier.predict_proba([query]), before)
    with pytest.raises(DataError, match="is there already"):
        classifier.add_class(RED, by_class[RED])
    with pytest.raises(DataError, match="is none of"):
        classifier.remove_class("nothing")
    with pytest.raises(DataError, match="at least 2 classes"):
        classifier.remove_class(RED).predict([query])


def test_prompts(clip_folder, by_class):
    own = {RED: "something crimson"}
    videos = {name: paths[:1] for name, paths in by_class.items()}
    classifier = FewShotClassifier.from_pretrained(clip_folder, "zero_shot").fit(videos)
    assert classifier.calibration_.origin == "left_out_classes"
    prompts = [c.prompt for c in classifier._support.classes.values()]
    assert prompts[-1] == "a photo of test red box"
    other = FewShotClassifier.from_pretrained(clip_folder, "zero_shot").fit(videos, prompts=own)
    assert other._support.classes[RED].prompt == "something crimson"
    assert not np.allclose(*(c.predict_proba(by_class[RED]) for c in (classifier, other)))
    with pytest.raises(DataError, match="'typo' is none of the classes"):
        classifier.fit(videos, prompts={"typo": "x"})


def test_a_strict_threshold_gives_unknown(tiny_model, support_folder, by_class):
    queries, labels = others(by_class)
    classifier = FewShotClassifier(tiny_model).fit(support_folder)
    classifier.calibrate({RED: by_class[RED], "stranger": by_class[BLUE]})
    made = classifier.calibration_
    assert (made.origin, made.known, made.foreign) == ("validation", 4, 4)
    answers = classifier.predictions(queries)
    assert {a.label for a in answers} <= {*labels, "unknown"}
    for answer in answers:
        assert (answer.label == "unknown") == (answer.score < made.threshold)
    results = classifier.evaluate(queries, [labels[0], "stranger", labels[2]])
    assert results["foreign"] == 1
    right = [a.label == t for a, t in zip(answers, [labels[0], "unknown", labels[2]], strict=True)]
    assert results["open_accuracy"] == pytest.approx(np.mean(right))
    assert classifier.score(queries, [labels[0], "stranger", labels[2]]) == pytest.approx(
        np.mean(right)
    )


def test_bad_videos_are_passed_over_or_raise(fitted, by_class, tmp_path):
    bad, good = tmp_path / "bad.mp4", by_class[RED][3]
    bad.write_bytes(good.read_bytes()[:200])
    with pytest.raises(DataError, match="bad.mp4"):
        fitted.predict([good, bad])
    answers = fitted.predictions([bad, good], on_error="skip")
    assert [(a.label is None, a.nearest) for a in answers] == [(True, None), (False, RED)]
    assert [x.source for x in fitted.skipped_] == [str(bad)]
    assert np.isnan(fitted.predict_proba([bad, good], on_error="skip")[0]).all()
    assert fitted.predict([bad], on_error="skip").tolist() == [None]
    with pytest.raises(ConfigError, match="known: raise, skip"):
        fitted.predict([good], on_error="ignore")


def test_what_cannot_be_fitted(tiny_model, by_class, tmp_path):
    classifier = FewShotClassifier(tiny_model)
    with pytest.raises(DataError, match="call fit first"):
        classifier.predict(by_class[RED])
    with pytest.raises(DataError, match="at least 2 classes"):
        classifier.fit({RED: by_class[RED]})
    with pytest.raises(DataError, match=f"class '{RED}': no video of it can be used"):
        classifier.fit({RED: [], BLUE: by_class[BLUE]})
    with pytest.raises(DataError, match="cannot be called 'unknown'"):
        classifier.fit({"unknown": by_class[RED], BLUE: by_class[BLUE]})
    (tmp_path / "x.mp4").write_text("text")
    with pytest.raises(DataError, match=f"class '{RED}': .*it is a text file"):
        classifier.fit({RED: [tmp_path / "x.mp4"], BLUE: by_class[BLUE]}, on_error="skip")


def test_methods_without_training_only(clip_folder, tmp_path):
    with pytest.raises(ConfigError, match="mdmf has parameters to train"):
        FewShotClassifier.from_pretrained(clip_folder, "mdmf")
    with pytest.raises(ConfigError, match="unknown method 'otham'"):
        FewShotClassifier.from_pretrained(clip_folder, "otham")
    with pytest.raises(CheckpointError, match="no such folder"):
        FewShotClassifier.from_pretrained(tmp_path / "absent")


def test_saved_and_loaded(fitted, saved, by_class):
    loaded = FewShotClassifier.load(saved)
    queries, _ = others(by_class)
    assert loaded.classes_ == fitted.classes_
    assert loaded.calibration_ == fitted.calibration_
    np.testing.assert_array_equal(loaded.predict_proba(queries), fitted.predict_proba(queries))
    loaded.remove_class(RED).save(saved.parent / "smaller")
    loaded.save(saved.parent / "smaller")
    assert len(FewShotClassifier.load(saved.parent / "smaller").classes_) == 2
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model", "smaller"]


def test_saving_harms_nothing(fitted, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CheckpointError, match="is not a saved model"):
        fitted.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["head.safetensors", "support.safetensors", "clip/vocab.json"])
def test_changed_and_missing_files_are_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} has changed"):
        FewShotClassifier.load(copy)
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        FewShotClassifier.load(copy)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 99),
        (("settings", "clips", "frames"), "8"),
        (("settings", "clips", "frames"), 9),
        (("settings", "method"), "mdmf"),
        (("settings", "typo"), 1),
        (("classes", 0, "videos"), []),
        (("classes", 0), None),
        (("classes",), 7),
        (("calibration", "temperature"), 0),
        (("calibration", "score"), "luck"),
        (("files",), {}),
        (("files", "../x"), ""),
    ],
)
def test_wrong_descriptions(copy, path, value):
    content = json.loads((copy / "model.json").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        FewShotClassifier.load(copy)
    assert str(copy) in str(error.value) and "\n" not in str(error.value)


def test_explanation(fitted, by_class):
    told = fitted.explain(by_class[RED][3])
    assert told["label"] == RED and told["prompt"] is None and told["distances"] == {}
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert told["accepted"] == (told["score"] >= told["threshold"])
    assert told["source"].split("/")[-2] == RED
    assert told["query_frames"].shape == told["support_frames"].shape == (8, 16, 16, 3)
    assert told["similarity"]["frames"].shape == (8, 8)
    assert np.abs(told["similarity"]["frames"]).max() <= 1.0001


def test_search_finds_the_colours(saved, by_class):
    classifier = FewShotClassifier.load(saved)
    # The videos of a class are almost the same, so that the threshold is too strict for joints.
    lower = classifier.calibration_.threshold - 0.01
    classifier._calibration = replace(classifier.calibration_, threshold=lower)
    parts = [read_video(by_class[name][3]) for name in (RED, BLUE, GREEN)]
    video = np.concatenate([np.concatenate([part] * 3) for part in parts])  # 27 frames each
    found = classifier.search(video, window=0.9, stride=0.3, rate=10.0)
    assert [s.label for s in found] == [RED, BLUE, GREEN]
    for number, span in enumerate(found):
        assert abs(span.start - 2.7 * number) < 0.5
        assert abs(span.end - 2.7 * (number + 1)) < 0.5


def test_a_run_gives_its_best_parameters(finished_run):
    import jax

    from mdmf_jax.classifier.model import pretrained
    from mdmf_jax.evaluation.opened import open_checkpoint
    from mdmf_jax.evaluation.task import Task

    model = pretrained(finished_run.folder)
    opened = open_checkpoint(finished_run.folder, Task())
    settings, clips = model.settings.model, model.settings.clips
    assert settings.method == "mdmf"
    assert (settings.frames, clips.frames, clips.crop, clips.resize) == (3, 3, 16, 18)
    assert settings.head == opened.config.head
    assert model.params.keys() == opened.params.keys() == {"encoder", "head"}
    jax.tree.map(np.testing.assert_array_equal, model.params, opened.params)
    start = model.few_shot.start
    assert start.keys() == model.params["encoder"].keys()
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), start, model.params["encoder"])
    assert max(jax.tree.leaves(moved)) > 1e-6  # the run trained its encoder
