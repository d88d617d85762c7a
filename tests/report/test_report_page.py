"""Reports of an evaluation and of a comparison: what they say, and that they are harmless."""

import json
import shutil
import subprocess
from unittest import mock

import numpy as np
import pytest
from page_check import Page, check_page
from tensorboardX import SummaryWriter

from mdmf_jax.cli import main as cli
from mdmf_jax.ops.alignment import alignment_cost
from mdmf_jax.report import analysis

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def evaluated(videos, tiny, tmp_path_factory):
    """The folder of an evaluation of an untrained head, with a test class of a hostile name."""
    from configs import common
    from mdmf_jax.config.config import from_config_dict
    from mdmf_jax.runs.evaluate import Task, evaluate

    root = tmp_path_factory.mktemp("hostile") / "videos"
    shutil.copytree(videos, root)
    (root / "test" / "test_red_box").rename(root / "test" / IMAGE)
    config = common.get_config()
    config.update_from_flattened_dict(tiny | {"data.root": str(root), "train.steps": 0})
    folder = tmp_path_factory.mktemp("evaluated")
    task = Task(episodes=20, shot=1, queries=2)
    evaluate(task, config=from_config_dict(config), out=folder / "eval.json")
    return folder


@pytest.fixture(scope="module")
def reported(evaluated):
    """The report, and the analysis that it shows."""
    out, found, analyse = evaluated / "report.html", [], analysis.analyse
    arguments = ["report", str(evaluated / "eval.json"), f"--out={out}", "--episodes=20"]

    def record(*given):
        found.append(analyse(*given))
        return found[0]

    with mock.patch.multiple(analysis, HARDEST=2, analyse=record):
        assert cli.main(arguments) == 0
    return out.read_text(encoding="utf-8"), found[0]


@pytest.fixture(scope="module")
def page_text(reported):
    return reported[0]


@pytest.fixture(scope="module")
def page(page_text):
    return check_page(page_text)


def test_numbers_of_the_file_are_on_the_page(page, evaluated):
    results = json.loads((evaluated / "eval.json").read_text())
    text = page.text
    assert f"{100 * results['accuracy']:.1f}% ± {100 * results['interval95']:.1f}" in text
    for name, share in results["per_class"].items():
        assert name in text
        assert f"{100 * share:.1f}%" in text
    # The same 20 episodes were answered again, so that both accuracies agree.
    assert f"answered again for this page: {100 * results['accuracy']:.1f}% are right" in text
    assert f"{100 * results['prompt_accuracy']:.1f}%" in text
    assert results["versions"]["jax"] in text
    assert "data.frames 3" in text


def test_hostile_class_is_text(page, page_text):
    assert IMAGE in page.text
    assert "<img src=x" not in page_text
    assert any(IMAGE in image["alt"] for image in page.attributes("img"))


def test_confusions_have_examples(page, evaluated):
    links = {a["href"] for a in page.attributes("a")}
    examples = [a["id"] for a in page.attributes("article") if "id" in a]
    assert examples and all(f"#{name}" in links for name in examples)
    wrong = json.loads((evaluated / "eval.json").read_text())["accuracy"] < 1
    assert wrong and "Hardest episodes" in page.text
    drawings = [a for a in page.attributes("img") if a.get("class") == "drawing"]
    assert drawings and all("alignment" in a["alt"] for a in drawings)


def test_hard_queries_are_explained_by_what_is_drawn(reported):
    """The alignment costs of the cosines drawn are the distances that decided."""
    analysed = reported[1]
    assert len(analysed.hardest) == 2
    for query in (q for episode in analysed.hardest for q in episode.queries):
        costs = {place: 0.0 for place in (query.label, query.answer)}
        for place in costs:
            for view in ("local", "global"):
                cosines = query.similarity[view][place]
                costs[place] += float(alignment_cost(1 - cosines, 0.5))
        assert query.gap == pytest.approx(costs[query.label] - costs[query.answer], abs=1e-4)
        assert query.gap >= 0 and (query.gap > 0) == (query.label != query.answer)
    right = [np.mean([q.label == q.answer for q in e.queries]) for e in analysed.hardest]
    assert right == sorted(right) and right[0] < analysed.metrics["accuracy"]


def test_confusion_counts_every_query(reported):
    analysed = reported[1]
    assert analysed.confusion.sum() == 20 * 2 * 2
    share = np.trace(analysed.confusion) / analysed.confusion.sum()
    assert share == pytest.approx(analysed.metrics["accuracy"])
    for mistake in analysed.mistakes:
        assert mistake.query.name.split("/")[0].endswith(analysed.names[mistake.true].split()[-1])
        assert mistake.true != mistake.taken


def test_numbers_only_needs_no_videos(evaluated, tmp_path):
    content = json.loads((evaluated / "eval.json").read_text())
    content["per_class"][SCRIPT] = 0.25
    content["settings"]["data"] |= {"root": "/none", "dataset": SCRIPT}
    content["settings"]["encoder"]["prompt"] = f"{SCRIPT} {{}}"
    content["checkpoint_step"] = 4
    (tmp_path / "eval.json").write_text(json.dumps(content))
    with SummaryWriter(str(tmp_path / "tensorboard")) as writer:
        for step, loss in enumerate([2.5, 1.5, 1.25], 1):
            writer.add_scalar("train/loss", loss, step)
            writer.add_scalar(f"train/{SCRIPT}", loss, step)
    out = tmp_path / "deep" / "report.html"
    arguments = ["report", str(tmp_path / "eval.json"), f"--out={out}", "--numbers-only"]
    assert cli.main(arguments) == 0
    page = check_page(out.read_text(encoding="utf-8"))
    assert page.text.count(SCRIPT) >= 3
    assert "training loss: 1.25 at step 3" in page.text
    assert page.count("svg") == 2


def test_comparison(evaluated, tmp_path):
    (tmp_path / "compare.json").write_text(json.dumps(comparison(evaluated)))
    out = tmp_path / "report.html"
    arguments = ["report", str(tmp_path / "compare.json"), f"--out={out}", "--numbers-only"]
    assert cli.main(arguments) == 0
    page = check_page(out.read_text(encoding="utf-8"))
    assert page.text.count(SCRIPT) >= 4
    assert "+12.5 ± 3.0" in page.text
    assert page.count("img") == 1


def comparison(evaluated):
    """A compare.json of two methods, with hostile names."""
    results = json.loads((evaluated / "eval.json").read_text())
    difference = {"mean": 0.125, "interval95": 0.03}
    entry = {k: results[k] for k in ("accuracy", "interval95", "prompt_accuracy", "settings")}
    entry |= {"method": "mdmf", "trained": SCRIPT, "parameters": 3, "seconds_per_1000": 1.0}
    entry |= {"difference": difference, "pairs": None, "checkpoint": None}
    entry |= {"per_class": {SCRIPT: 0.5}, "class_difference": {SCRIPT: difference}}
    sizes = {"split": "test", "way": 2, "shot": 1, "queries": 1, "episodes": 20, "seed": 0}
    return {
        "date": "2024-01-01",
        "task": sizes,
        "classes": 3,
        "videos": 12,
        "pairs": None,
        "entries": [entry | {"name": "first"}, entry | {"name": SCRIPT}],
        "versions": results["versions"],
        "hardware": results["hardware"],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("{}", "is not an evaluation"),
        ('{"entries": []}', "is not written by compare"),
        (None, "no such file"),
    ],
)
def test_other_files_are_refused(tmp_path, capsys, content, words):
    source = tmp_path / "source.json"
    if content is not None:
        source.write_text(content)
    assert cli.main(["report", str(source), f"--out={tmp_path / 'report.html'}"]) == 2
    error = capsys.readouterr().err
    assert words in error and str(source) in error and error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_checkpoint_that_is_not_there(evaluated, tmp_path, capsys):
    content = json.loads((evaluated / "eval.json").read_text()) | {"checkpoint_step": 4}
    (tmp_path / "eval.json").write_text(json.dumps(content))
    assert cli.main(["report", str(tmp_path / "eval.json"), f"--out={tmp_path}/r.html"]) == 2
    assert "--checkpoint=RUN" in capsys.readouterr().err


def test_strips_keep_colours():
    import base64
    import io

    from PIL import Image

    from mdmf_jax.report.strips import frame_strip

    frames = np.zeros((3, 20, 30, 3), np.uint8)
    frames[1] = (200, 30, 30)
    address = frame_strip(frames, side=40)
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert image.size == (3 * 60 + 2 * 2, 40)
    np.testing.assert_allclose(image.getpixel((90, 20)), (200, 30, 30), atol=6)
    np.testing.assert_allclose(image.getpixel((30, 20)), (0, 0, 0), atol=6)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_chromium_has_nothing_to_say(page_text, tmp_path):
    foreign = '<img src="http://report-test.invalid/x.png" alt="">'
    good, bad = page_text, page_text.replace("</main>", f"{foreign}</main>")
    assert opened(good, tmp_path / "good") == []
    # The policy stops what should never be there, and says so.
    assert any("report-test.invalid" in line for line in opened(bad, tmp_path / "bad"))
    for name in ("good", "bad"):
        assert "report-test.invalid" not in (tmp_path / name / "net.json").read_text()


def opened(text: str, folder) -> list[str]:
    """What the browser's console says of a page from disk."""
    folder.mkdir()
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}"]
    command += ["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"file://{folder / 'page.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert Page(done.stdout).count("h1") == 1
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]
