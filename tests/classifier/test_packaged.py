"""The warning that the packaged demo CLIP knows the demo's pictures only."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from mdmf_jax.classifier.packaged import demo_warning, is_demo_clip
from mdmf_jax.classifier.searching import search_folder
from mdmf_jax.data.demo.dataset import demo_clip
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.runs.train import _foreign_videos
from mdmf_jax.weights.huggingface import demo_clip_path


def encoder_with(path):
    return SimpleNamespace(path=path)


def warning_of(run):
    return demo_warning(run.config.encoder, _foreign_videos(run))


@pytest.fixture
def demo_video(tmp_path):
    path = tmp_path / "moved.mp4"
    path.write_bytes(encode_mp4(demo_clip("moving left", "growing", 1)))
    return path


def test_it_is_known_by_name_and_by_folder(clip_folder):
    assert is_demo_clip("packaged:demo") and is_demo_clip(str(demo_clip_path()))
    assert not is_demo_clip("") and not is_demo_clip(str(clip_folder))


def test_only_videos_that_the_demo_did_not_make_are_warned_of(by_class, demo_video, clip_folder):
    real = by_class["test_red_box"][0]
    for path in ("packaged:demo", str(demo_clip_path())):
        assert demo_warning(encoder_with(path), [demo_video]) == ""
        line = demo_warning(encoder_with(path), [demo_video, real, real])
        assert "2 of 3 videos are not of the demo" in line and "\n" not in line
    assert demo_warning(encoder_with(str(clip_folder)), [real]) == ""


def test_search_says_it(by_class, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    folder = by_class["test_red_box"][0].parent
    classifier = SimpleNamespace(search=lambda *_, **__: [], notes_=["the demo CLIP is no good"])
    console = Console(file=io.StringIO(), width=300)
    options = {"window": 1.0, "stride": 1.0, "rate": 25.0, "console": console}
    search_folder(classifier, model, folder, tmp_path / "out.csv", **options)
    assert "0.mp4: note: the demo CLIP is no good" in console.file.getvalue()


def test_train_says_it(videos, demo_video):
    def run(dataset, path, root, names):
        data = SimpleNamespace(dataset=dataset, root=str(root))
        config = SimpleNamespace(data=data, encoder=encoder_with(path))
        splits = {"train": SimpleNamespace(paths=names)}
        return SimpleNamespace(config=config, dataset=SimpleNamespace(splits=splits))

    names = ["train/train_red_box/0.mp4", "train/train_red_box/1.mp4", "not looked at"]
    assert "2 of 2 videos" in warning_of(run("", "packaged:demo", videos, names))
    assert warning_of(run("", "elsewhere", videos, names)) == ""
    assert warning_of(run("demo", "packaged:demo", "", names)) == ""
    own = run("", "packaged:demo", demo_video.parent, [demo_video.name])
    assert warning_of(own) == ""
