"""`mdmf splits`, with a made-up protocol and with those that are shipped."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from made_protocol import make

from mdmf_jax.cli import main as cli
from mdmf_jax.data.protocols import protocol as protocols


@pytest.fixture
def made(tmp_path, monkeypatch):
    yield make(tmp_path / "made", monkeypatch)
    protocols.load.cache_clear()


@pytest.fixture
def splits(capsys):
    """Runs an action; returns its exit code, what it printed, and its error message."""

    def run(*argv):
        code = cli.main(["splits", *map(str, argv)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(made):
    handler = partial(Quiet, directory=str(made.files))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_list(command):
    printed = command("splits", "list")
    rows = {line.split()[0]: line for line in printed.splitlines()[1:]}
    assert sorted(rows) == protocols.names()
    assert "31 + 10 + 10" in rows["hmdb51_arn"] and "4280 + 1194 + 1292" in rows["hmdb51_arn"]
    assert "67013 + 1926 + 2857" in rows["ssv2_otam"]


def test_show_prompts_of_the_published_code(command):
    printed = command("splits", "show", "hmdb51_arn", "--split", "test")
    rows = [line.rstrip() for line in printed.splitlines()]
    cells = {row.split("  ")[0].strip(): row.split() for row in rows if row.startswith(" ")}
    # What the published code gives each class, found by running it.
    published = {
        "run": "fencing",
        "sit": "kick",
        "smoke": "kick ball",
        "fencing": "pick",
        "talk": "pour",
        "kick": "pushup",
        "kick_ball": "run",
        "pick": "sit",
        "pour": "smoke",
        "pushup": "talk",
    }
    for folder, wrong in published.items():
        own = folder.replace("_", " ")
        assert cells[folder][:-1] == [folder, *own.split(), *wrong.split()]
    counts = {folder: int(cells[folder][-1]) for folder in published}
    assert sum(counts.values()) == 1292 and counts["run"] == 232 and counts["kick_ball"] == 128
    assert "the published code gives 10 of 10 classes a wrong prompt" in printed
    assert "e2ce039f8572 splits/hmdb_ARN/testlist03.txt of https://github.com/" in printed


def test_show_where_the_published_code_is_right(command):
    for name in ("kinetics_cmn", "ucf101_arn", "ssv2_cmn", "ssv2_otam"):
        printed = command("splits", "show", name)
        assert "published code" not in printed
    assert "0       Approaching something with your camera" in printed


def test_verify_what_is_right(splits, made):
    code, printed, _ = splits("verify", "made", *made.lists.values())
    assert code == 0
    assert "known: standard; few shot/testlist03.txt of https://github.com/someone/lists" in printed
    assert "no list was given for: val" in printed and printed.endswith("all is as expected\n")
    code, printed, _ = splits("verify", "made", made.lists["test"], "--all")
    assert code == 0 and "a run      a run      3         3" in printed


def test_verify_says_what_differs(splits, made, tmp_path):
    mine = tmp_path / "mylist.txt"
    lines = [*made.lines["test"][1:], "kick_ball/b1", "a run/j1", "a run/q", "jump/j7", "[x]/1"]
    mine.write_text("\n".join(lines))
    code, printed, _ = splits(
        "verify", "made", mine, made.lists["train"], "--against", *made.lists.values()
    )
    assert code == 1
    for text in (
        "mylist.txt: test, 6 videos, 2 classes",
        "unknown file; the nearest known list is: more; 1 of 2 classes differ from it",
        "a run   3         4      1 extra",
        "listed more than once: 1\n    b1",
        "of classes that are not made's: 1\n    [x] (1)",
        "of classes of another split: 1\n    jump (1)",
        "missing: 1\n    a run/r1",
        "extra: 2\n    a run/j1\n    a run/q",
        "in the lists of more than one split: 1\n    j1",
        "there are differences\n",
    ):
        assert text in printed, printed


def test_verify_on_disk(splits, made, tmp_path):
    root = tmp_path / "disk"
    for video in ("a_run/r1.mp4", "a_run/r2.webm", "a_run/notes.txt", "kickBall/b2/0001.jpg"):
        (root / video).parent.mkdir(parents=True, exist_ok=True)
        (root / video).touch()
    (root / "r3.avi").touch()
    code, printed, _ = splits("verify", "made", made.lists["test"], "--videos", root)
    assert code == 1 and f"not in {root}: 1\n    kick_ball/b1\n" in printed
    (root / "kickBall" / "b1.MP4").touch()
    assert splits("verify", "made", made.lists["test"], "--videos", root)[0] == 0
    assert "no such folder" in splits("verify", "made", made.lists["test"], "--videos", "x")[2]


def test_verify_split(splits, made):
    code, printed, _ = splits("verify", "made", made.lists["test"], "--split", "train")
    assert code == 1 and "train, 0 videos, 0 classes" in printed
    assert "jump    2         0      missing" in printed


def test_import(splits, made, tmp_path):
    (tmp_path / "test_few_shot.txt").write_bytes(
        b"\xef\xbb\xbftest0//v/a_run/r1.avi\r\ntest1/b2\r\ntest0/r1\r\ntest1//kickBall/b1.mp4"
    )
    out = tmp_path / "new" / "lists"
    code, printed, _ = splits(
        "import", "made", tmp_path / "test_few_shot.txt", made.lists["train"], "--out", out
    )
    assert code == 0
    assert (out / "testlist.txt").read_bytes() == b"a run/r1\nkick_ball/b2\nkick_ball/b1\n"
    assert (out / "trainlist.txt").read_bytes() == b"jump/j1\njump/j2\n"
    assert sorted(path.name for path in out.iterdir()) == ["testlist.txt", "trainlist.txt"]
    assert f"{out / 'testlist.txt'}: 3 videos, 1 repeated lines left out" in printed
    words = tmp_path / "words"
    options = ["--folders", "words", "--out", words]
    assert splits("import", "made", out / "testlist.txt", *options)[0] == 0
    assert (words / "testlist.txt").read_text().splitlines()[1] == "kick ball/b2"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a run/r1", "fly/f1"], "line 2: 'fly' is not a class of made"),
        (["a run/r1", "a run/r2", "jump/j1"], "line 3: class 'jump' is for train, not test"),
        (["a run/../x"], "line 1: 'a run/../x' is not a path within the data set"),
    ],
)
def test_import_of_wrong_lists_writes_nothing(splits, made, tmp_path, lines, message):
    (tmp_path / "some.txt").write_text("\n".join(lines))
    files = [made.lists["train"], tmp_path / "some.txt"]
    code, _, error = splits("import", "made", *files, "--out", tmp_path / "out")
    assert code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_import_overwrites_nothing(splits, made, tmp_path):
    (tmp_path / "testlist.txt").write_text("mine")
    _, _, error = splits("import", "made", *made.lists.values(), "--out", tmp_path)
    assert "testlist.txt exists already" in error
    assert not (tmp_path / "trainlist.txt").exists()
    shutil.copy(made.lists["test"], tmp_path / "testcopy.txt")
    files = [made.lists["test"], tmp_path / "testcopy.txt"]
    _, _, error = splits("import", "made", *files, "--out", tmp_path / "out")
    assert "are both for test" in error


def test_fetch(splits, made, server, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = splits("fetch", "made", "--out", out, "--address", f"{server}/")
    assert code == 0 and f"{server}/few%20shot/testlist03.txt" in printed
    assert (out / "testlist.txt").read_text().splitlines() == made.lines["test"]
    assert splits("verify", "made", *out.iterdir())[0] == 0
    _, _, error = splits("fetch", "made", "--out", out, "--address", server)
    assert "exists already" in error


def test_failed_fetch_leaves_nothing(splits, made, server, tmp_path):
    made.lists["test"].write_bytes(made.lists["test"].read_bytes().replace(b"r1", b"r9"))
    code, _, error = splits("fetch", "made", "--out", tmp_path / "out", "--address", server)
    assert code == 2 and "it is another file" in error
    assert not (tmp_path / "out").exists()
    made.lists["train"].unlink()
    code, _, error = splits("fetch", "made", "--out", tmp_path / "out", "--address", server)
    assert code == 2 and "the server answers 404" in error
    assert not (tmp_path / "out").exists()


def test_draw(splits, tmp_path):
    videos = {f"class_{c}": [f"{c}_{v}" for v in range(c + 1)] for c in range(10)}
    for folder, stems in videos.items():
        (tmp_path / "own" / folder).mkdir(parents=True)
        for stem in stems:
            (tmp_path / "own" / folder / f"{stem}.mp4").touch()
    drawn = []
    for seed, out in ((1, "a"), (1, "b"), (2, "c")):
        options = ["--seed", seed, "--shares", "5,2,3", "--out", tmp_path / out]
        code, printed, _ = splits("draw", tmp_path / "own", *options)
        assert code == 0 and f"{tmp_path / out / 'testlist.txt'}: 3 classes" in printed
        lists = [tmp_path / out / f"{split}list.txt" for split in protocols.SPLITS]
        drawn.append([path.read_text() for path in lists])
    assert drawn[0] == drawn[1] != drawn[2]
    lines = "".join(drawn[0]).splitlines()
    assert sorted(lines) == sorted(f"{f}/{stem}" for f, stems in videos.items() for stem in stems)
    classes = [{line.split("/")[0] for line in split.splitlines()} for split in drawn[0]]
    assert [len(split) for split in classes] == [5, 2, 3] and len(set.union(*classes)) == 10
    options = ["--shares", "a,b", "--out", tmp_path / "d"]
    assert "--shares is 'a,b'; give three" in splits("draw", tmp_path / "own", *options)[2]


def test_old_names_of_flags_are_taken_with_a_warning(splits, made, tmp_path):
    for class_ in "abc":
        (tmp_path / "own" / class_).mkdir(parents=True)
        (tmp_path / "own" / class_ / "1.mp4").touch()
    options = ("draw", tmp_path / "own", "--parts", "1,1,1", "--out", tmp_path / "lists")
    code, printed, warning = splits(*options)
    assert code == 0 and "testlist.txt: 1 classes" in printed
    assert warning == "warning: --parts is now --shares; use that name\n"
    new, old = (splits("show", "made", flag, "test") for flag in ("--split", "--part"))
    assert old[:2] == new[:2] and "train:" not in new[1] and new[::2] == (0, "")
    assert old[2] == "warning: --part is now --split; use that name\n"
    code, _, error = splits("verify", "made", made.lists["test"], "--part", "all")
    assert code == 2 and "invalid choice: 'all'" in error


def test_public_addresses():
    address = {
        known.split: f"{known.raw_address}/{known.file}"
        for known in protocols.load("kinetics_cmn").lists
        if known.origin.endswith("CMN")
    }
    raw = "https://raw.githubusercontent.com/ffmpbgrnn/CMN/HEAD/kinetics-100"
    assert address == {split: f"{raw}/{split}.list" for split in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: ACTION"),
        (["shw"], "unknown command 'shw'; did you mean show?"),
        (["show", "hmdb"], "protocol 'hmdb' is unknown; known: hmdb51_arn"),
        (["verify", "hmdb51_arn", "absent.txt"], "absent.txt: cannot be read"),
        (["verify", "hmdb51_arn"], "the following arguments are required: FILE"),
        (["fetch", "hmdb51_arn"], "the following arguments are required: --out"),
        (["fetch", "hmdb51_arn", "--out", "x", "--address", "http://example.org"], "https"),
    ],
)
def test_mistakes(splits, argv, message):
    code, _, error = splits(*argv)
    assert code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert message in error
