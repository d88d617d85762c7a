"""Mistakes of a user: one line on stderr, exit code 2, no traceback."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdmf_jax.cli.main import main
from mdmf_jax.data.demo.store import encode_mp4

# ml_collections loads config files by a method that Python has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def arguments(repository, tiny):
    """The command line of the tiny run, as a function of changed settings by dotted name."""

    def make(argument="", **changed):
        file = f"--config={repository}/configs/common.py{argument}"
        settings = tiny | {name.replace("__", "."): value for name, value in changed.items()}
        return [file, *(f"--config.{name}={value}" for name, value in settings.items())]

    return make


@pytest.fixture
def fails(capsys, tmp_path):
    """Runs a command that must fail, and returns its error message."""

    def run(command, *args):
        code = main([command, *args])
        printed = capsys.readouterr()
        assert code == 2
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        return printed.err[len("error: ") : -1]

    return run


def train_fails(fails, args, folder):
    return fails("train", *args, f"--workdir={folder}")


COMMAND_LINES = {
    "unknown section": (["--config.trian.steps=3"], "unknown setting trian (did you mean train?)"),
    "unknown setting": (["--config.train.stpes=3"], "known in train: average, beta1, beta2"),
    "not a section": (["--config.seed.x=3"], "unknown setting seed.x"),
    "unknown flag": (["--workdri=x"], "unknown argument '--workdri'; did you mean --workdir?"),
    "stray argument": (["now"], "unexpected argument 'now'"),
    "wrong type": (["--config.train.steps=many"], "--config.train.steps=many"),
    "bad value": (["--config.train.steps=-1"], "train.steps is -1; it must be at least 0"),
    "bad bool": (["--config.data.cache=maybe"], "--config.data.cache=maybe"),
    "unknown method": (["--config.method=tsm"], "unknown method 'tsm'; known: clip_fsar, "),
    "unknown variant": (["--config.variant=old"], "variant is 'old'; known: corrected, reference"),
    "no data folder": (["--config.data.root=absent"], "absent"),
    "no data setting": (["--config.data.root="], "data.root is empty"),
    "no CLIP folder": (["--config.encoder.path=absent"], "absent: no such folder"),
    "no CLIP setting": (["--config.encoder.path="], "encoder.path is empty"),
    "crop is not an image size": (["--config.data.crop=12"], "takes images of 16 pixels"),
    "heads": (["--config.mdmf.heads=3"], "mdmf.heads is 3, which does not divide 16 features"),
    "freeze": (["--config.train.freeze=nothing"], "'nothing' matches no parameter"),
    "few videos": (["--config.episode.shot=4"], "has 4 videos, but 4 shot + 1 queries need 5"),
    "few test videos": (["--config.eval.shots=(1,4)"], "test: class test_blue_box has 4 videos"),
    "few classes": (["--config.episode.way=4"], "train: has 3 classes, 4-way episodes need 4"),
}


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_command_line(fails, arguments, tmp_path, case):
    extra, message = COMMAND_LINES[case]
    assert message in train_fails(fails, [*arguments(), *extra], tmp_path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--config is missing"),
        (["--config=absent.py"], "config file 'absent.py' does not exist"),
        (["--config", "absent.py"], "config file 'absent.py' does not exist"),
        (["--config.seed=1"], "--config.seed=1 changes a config; give --config=CONFIG, too"),
    ],
)
def test_config_file(fails, tmp_path, args, message):
    assert message in train_fails(fails, args, tmp_path)


def test_config_argument(fails, arguments, tmp_path):
    message = train_fails(fails, arguments(":shoot=5"), tmp_path)
    assert message.startswith("config argument 'shoot=5' is unknown; known: variant=...")


def test_workdir_is_needed(fails, arguments):
    assert "--workdir is missing" in fails("train", *arguments())


@pytest.mark.parametrize("kind", ["damaged", "short"])
def test_bad_video(fails, arguments, videos, tmp_path, kind):
    root = tmp_path / "videos"
    shutil.copytree(videos, root)
    for path in root.glob("train/train_red_box/*.mp4"):
        two = np.zeros((2, 20, 24, 3), np.uint8)
        path.write_bytes(b"no video" if kind == "damaged" else encode_mp4(two))
    settings = arguments(data__root=root, data__short_videos="drop")
    message = train_fails(fails, settings, tmp_path / "run")
    if kind == "damaged":
        assert "train_red_box" in message and "cannot be decoded" in message
    else:
        assert "class train_red_box has 0 videos" in message


@pytest.mark.parametrize("kind", ["missing", "misshapen"])
def test_bad_clip(fails, arguments, clip_folder, tmp_path, kind):
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    tensors, name = load_file(folder / "model.safetensors"), "visual_projection.weight"
    if kind == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:, :-1].copy()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    message = train_fails(fails, arguments(encoder__path=folder), tmp_path / "run")
    assert name in message


def test_checkpoint_of_other_settings(fails, arguments, finished_run, tmp_path):
    args = arguments(train__learning_rate=0.5, mdmf__depth=2)
    folder = shutil.copytree(finished_run.folder, tmp_path / "run")
    message = train_fails(fails, args, folder)
    assert "was made with other settings" in message
    assert "mdmf.depth: 1 -> 2; train.learning_rate: 0.001 -> 0.5" in message


def test_damaged_checkpoint(fails, arguments, finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "run")
    for path in (tmp_path / "run").rglob("d/*"):
        path.write_bytes(b"")
    message = train_fails(fails, arguments(), tmp_path / "run")
    assert "is damaged" in message
    assert "is damaged" in fails("eval", f"--checkpoint={tmp_path / 'run'}")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give --checkpoint=FOLDER, or --config=FILE"),
        (["--checkpoint=absent"], "absent: no such folder"),
        (["--checkpoint={run}", "--way=9"], "test: has 3 classes, 9-way episodes need 9"),
        (["--checkpoint={run}", "--way=1"], "argument --way: '1' is not a whole number from 2 on"),
        (["--checkpoint={run}", "--split=all"], "argument --split: invalid choice: 'all'"),
        (["--checkpoint={run}", "--shots=5"], "unknown argument '--shots'; did you mean --shot?"),
        (["--checkpoint={run}", "--data=absent"], "absent"),
        (["--checkpoint={run}/tensorboard"], "holds no checkpoint"),
    ],
)
def test_eval(fails, finished_run, args, message):
    filled = [arg.format(run=finished_run.folder) for arg in args]
    assert message in fails("eval", *filled)


def test_eval_checks_a_config_against_the_checkpoint(fails, arguments, finished_run):
    args = [f"--checkpoint={finished_run.folder}", *arguments(seed=5)]
    assert "seed: 0 -> 5" in fails("eval", *args)


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "--help"])
    assert done.value.code == 0
    assert "--workdir" in capsys.readouterr().out


def test_as_a_program(repository, arguments, tmp_path):
    """The scripts themselves: exit codes, and what a shell sees."""
    command = [sys.executable, str(repository / "train.py"), f"--workdir={tmp_path}"]
    command += [*arguments(), "--config.trian.steps=3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown setting trian")
    assert done.stderr.count("\n") == 1


def test_eval_as_a_program(repository, finished_run, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, str(repository / "eval.py"), f"--checkpoint={finished_run.folder}"]
    command += ["--shot=2", "--episodes=20", f"--out={out}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    expected = finished_run.results["test"]["2way_2shot"]
    results = json.loads(out.read_text())
    assert {name: results[name] for name in expected} == expected
    assert "2-way 2-shot accuracy on test classes" in done.stdout
