"""The commands fit, predict, search and evaluate, as a person calls them."""

import csv
import json

import numpy as np
import pytest

from mdmf_jax.cli import main as cli
from mdmf_jax.data.demo.dataset import demo_clip
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.videos.video import read_video


@pytest.fixture(scope="module")
def folders(videos, tmp_path_factory):
    """support/ and test/ of three classes, with files among them that are not videos."""
    root = tmp_path_factory.mktemp("mine")
    for folder in sorted((videos / "test").iterdir()):
        four = sorted(folder.iterdir())
        for part, paths in (("support", four[:2]), ("test", four[2:])):
            (root / part / folder.name).mkdir(parents=True)
            for path in paths:
                (root / part / folder.name / path.name).write_bytes(path.read_bytes())
    red = root / "support" / "test_red_box"
    (red / "notes.txt").write_text("text")
    (red / "broken.mp4").write_bytes((red / "0.mp4").read_bytes()[:300])
    (red / "single.mp4").write_bytes(encode_mp4(read_video(red / "0.mp4")[:1]))
    (red / "short.mp4").write_bytes(encode_mp4(read_video(red / "0.mp4")[:3]))
    return root


@pytest.fixture(scope="module")
def model(folders, clip_folder):
    out = folders / "model"
    argv = ["fit", f"--support={folders / 'support'}", f"--out={out}", f"--encoder={clip_folder}"]
    prompt = "--prompt=test_red_box=something crimson"
    assert cli.main([*argv, "--method=mean_pool", "--target=0.9", prompt]) == 0
    return out


def test_fit_names_every_bad_file_and_goes_on(folders, clip_folder, tmp_path, capsys):
    argv = [
        f"--support={folders / 'support'}",
        f"--out={tmp_path / 'm'}",
        f"--encoder={clip_folder}",
    ]
    assert cli.main(["fit", *argv, "--method=mean_pool"]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 4
    for line, words in zip(
        lines,
        (
            "notes.txt: is not a video by its name",
            "broken.mp4: ",
            "single.mp4: has 1 frame",
            "short",
        ),
        strict=True,
    ):
        assert words in line
    assert lines[-1].startswith("note: ") and "has 3 frames" in lines[-1]
    assert "test_red_box: 3 videos" in printed.out and "test_blue_box: 2 videos" in printed.out
    assert cli.main(["fit", *argv, "--method=mean_pool", "--strict"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_fit_tells_what_was_recognised(model, folders, clip_folder, tmp_path, capsys):
    groups = tmp_path / "groups.csv"
    rows = [f"{path.parent.name}/{path.name},{path.stem}" for path in folders.glob("support/*/*")]
    groups.write_text("\n".join(["clip,group", *rows]))
    page = tmp_path / "page.html"
    argv = [f"--support={folders / 'support'}", f"--out={tmp_path / 'm'}", f"--report={page}"]
    argv += [f"--encoder={clip_folder}", "--method=mean_pool", f"--groups={groups}"]
    assert cli.main(["fit", *argv]) == 0
    printed = capsys.readouterr().out
    assert "verdict: works; 7 of 7 clips left out one by one recognised, 2.33 by chance" in printed
    assert "  test_red_box: 3 of 3 recognised" in printed
    assert "warning: your classes may differ in the background" in printed  # they do: in colour
    assert "verdict: works; 7 of 7 clips" in page.read_text()
    query = str(folders / "test" / "test_red_box" / "2.mp4")
    assert cli.main(["predict", f"--model={tmp_path / 'm'}", query]) == 0
    assert "model: verdict: works; 7 of 7 clips" in capsys.readouterr().err
    assert json.loads((tmp_path / "m/model.json").read_text())["classes"][0]["groups"] == ["0", "1"]


def test_predict_repeats_that_nothing_could_be_judged(folders, clip_folder, tmp_path, capsys):
    support = tmp_path / "support"
    for colour in ("red", "blue"):
        video = folders / "test" / f"test_{colour}_box" / "2.mp4"
        (support / colour).mkdir(parents=True)
        (support / colour / "a.mp4").write_bytes(video.read_bytes())
    argv = [f"--support={support}", f"--out={tmp_path / 'm'}", f"--encoder={clip_folder}"]
    assert cli.main(["fit", *argv, "--method=mean_pool"]) == 0
    assert "verdict: cannot be judged; one clip a class" in capsys.readouterr().out
    query = str(folders / "test" / "test_red_box" / "3.mp4")
    assert cli.main(["predict", f"--model={tmp_path / 'm'}", query]) == 0
    printed = capsys.readouterr()
    assert "3.mp4: unknown (red " in printed.out
    assert "model: verdict: cannot be judged" in printed.err
    assert cli.main(["evaluate", f"--model={tmp_path / 'm'}", f"--videos={support}"]) == 0
    printed = capsys.readouterr().out
    assert "accuracy: 100.0% of 2 videos (chance 50.0%: not above chance)" in printed
    assert "warning: 2 of the 2 videos are labelled videos of the model too" in printed


def test_the_demo_clip_is_no_encoder_for_other_videos(folders, tmp_path, capsys):
    argv = [f"--support={folders / 'test'}", f"--out={tmp_path / 'm'}", "--encoder=packaged:demo"]
    assert cli.main(["fit", *argv, "--method=mean_pool"]) == 0
    words = "the packaged demo CLIP has seen nothing but the demo's moving shapes, and"
    assert f"note: {words} 6 of 6 videos are not of the demo" in capsys.readouterr().err
    (tmp_path / "demo.mp4").write_bytes(encode_mp4(demo_clip("moving left", "growing", 1)))
    query = folders / "test" / "test_red_box" / "2.mp4"
    argv = ["predict", f"--model={tmp_path / 'm'}", str(query), str(tmp_path / "demo.mp4")]
    assert cli.main(argv) == 0
    assert f"note: {words} 1 of 2 videos are not of the demo" in capsys.readouterr().err


def test_model_says_what_it_is(model):
    content = json.loads((model / "model.json").read_text())
    assert content["settings"]["method"] == "mean_pool"
    assert content["calibration"]["target"] == 0.9
    prompts = {c["name"]: c["prompt"] for c in content["classes"]}
    assert prompts["test_red_box"] == "something crimson"
    assert prompts["test_blue_box"] == "a photo of test blue box"


def test_predict(model, folders, tmp_path, capsys):
    out = [f"--csv={tmp_path / 'x.csv'}", f"--json={tmp_path / 'x.json'}"]
    one = str(folders / "test" / "test_blue_box" / "2.mp4")
    red = str(folders / "support" / "test_red_box")
    assert cli.main(["predict", f"--model={model}", one, red, *out]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("skipped: ") == 3
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["video"].split("/")[-1] for row in rows] == ["2.mp4", "0.mp4", "1.mp4", "short.mp4"]
    assert rows[0]["nearest"] == "test_blue_box" and rows[1]["nearest"] == "test_red_box"
    content = json.loads((tmp_path / "x.json").read_text())
    assert [v["label"] for v in content["videos"]] == [row["label"] for row in rows]
    assert content["verdict"].startswith("verdict: works; 7 of 7")
    assert len(content["skipped"]) == 3
    assert printed.out.count("\n") == 4


def test_nothing_to_predict(model, tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("x")
    assert cli.main(["predict", f"--model={model}", str(tmp_path / "a.mp4")]) == 2
    assert "none of the videos can be used" in capsys.readouterr().err
    assert cli.main(["predict", f"--model={tmp_path}", "a.mp4"]) == 2
    assert "holds no model.json" in capsys.readouterr().err


def test_evaluate(model, folders, tmp_path, capsys):
    out = tmp_path / "e.json"
    argv = [f"--model={model}", f"--videos={folders / 'test'}", f"--json={out}"]
    assert cli.main(["evaluate", *argv]) == 0
    results = json.loads(out.read_text())
    assert (results["known"], results["accuracy"]) == (6, 1.0)
    assert "accuracy: 100.0% of 6 videos" in capsys.readouterr().out


def test_search_goes_on_where_it_stopped(model, folders, tmp_path, capsys):
    long = tmp_path / "long"
    (long / "deep").mkdir(parents=True)
    parts = [read_video(folders / "test" / f"test_{c}_box" / "3.mp4") for c in ("red", "blue")]
    (long / "a.mp4").write_bytes(encode_mp4(np.concatenate([*parts, *parts])))
    (long / "deep" / "b.mp4").write_bytes(encode_mp4(parts[0]))
    (long / "bad.mp4").write_text("x")
    out = tmp_path / "s.csv"
    argv = ["search", f"--model={model}", f"--videos={long}", f"--out={out}", "--window=0.75"]
    assert cli.main(argv) == 0
    first = capsys.readouterr().out
    assert "bad.mp4" in first and "2 of 3 videos" in first
    rows = out.read_text()
    assert rows.startswith("video,start,end,label,score\n")
    journal = tmp_path / "s.csv.jsonl"
    kept = journal.read_text().splitlines()
    assert [json.loads(line)["video"] for line in kept[1:]] == ["a.mp4", "deep/b.mp4"]
    # As if it had been killed while it wrote the second video.
    journal.write_text("\n".join(kept[:2]) + "\n" + kept[2][:20])
    out.unlink()
    assert cli.main(argv) == 0
    again = capsys.readouterr().out
    assert "deep/b.mp4: " in again and "a.mp4: " not in again.replace("deep/b.mp4: ", "")
    assert out.read_text() == rows and journal.read_text().splitlines() == kept
    assert cli.main([*argv[:-1], "--window=0.5"]) == 2
    assert "is of a search with another model or other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fit", "--support=x", "--out=y"], "x: no such folder"),
        (["fit", "--support=x", "--out=y", "--checkpoint=z", "--method=otam"], "--method is for"),
        (
            ["fit", "--support=x", "--out=y", "--encoder=z", "--target=1.5"],
            "argument --target: '1.5' is not a number above 0",
        ),
        (["fit", "--support=x", "--out=y", "--encoder=z", "--prompt=a"], "--prompt is 'a'"),
        (
            ["search", "--model=x", "--videos=y", "--out=z", "--window=0"],
            "argument --window: '0' is not a number above 0",
        ),
        (["predict", "--model=x"], "required: VIDEO"),
    ],
)
def test_mistaken_options(argv, message, capsys):
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_names_are_shown_as_text(clip_folder, folders, tmp_path, capsys):
    support = tmp_path / "support"
    for name, colour in (("[red]\x1b[31m", "red"), ("<script>", "blue")):
        (support / name).mkdir(parents=True)
        video = folders / "test" / f"test_{colour}_box" / "2.mp4"
        (support / name / "a.mp4").write_bytes(video.read_bytes())
    argv = [f"--support={support}", f"--out={tmp_path / 'm'}", f"--encoder={clip_folder}"]
    assert cli.main(["fit", *argv, "--method=mean_pool"]) == 0
    assert cli.main(["evaluate", f"--model={tmp_path / 'm'}", f"--videos={support}"]) == 0
    assert cli.main(["predict", f"--model={tmp_path / 'm'}", *map(str, support.iterdir())]) == 0
    printed = capsys.readouterr()
    assert r"[red]\x1b[31m: 1 videos" in printed.out and "<script>" in printed.out
    assert "\x1b" not in printed.out + printed.err
