"""`mdmf`: what it loads, and how it fails."""

import shlex
import subprocess
import sys

import pytest

import mdmf_jax
from mdmf_jax.cli import main as cli
from mdmf_jax.cli import train
from mdmf_jax.errors import Stopped


def test_commands_are_known_without_loading_what_they_need(repository):
    code = (
        "import sys; from mdmf_jax.cli import main as cli; cli.make_parser(); "
        "print(sorted({'jax', 'numpy', 'tensorflow', 'flax'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_as_a_program(repository, tmp_path):
    command = [sys.executable, "-m", "mdmf_jax", "import", "absent.pt", str(tmp_path / "x")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: absent.pt: cannot be read (No such file or directory)\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["imprt"], "unknown command 'imprt'; did you mean import?"),
        (["splits", "shwo"], "unknown command 'shwo'; did you mean show? (see mdmf splits --help)"),
        (["zzz"], "unknown command 'zzz'; known: train, eval, import"),
        (["train", "now"], "unexpected argument 'now' (see mdmf train --help)"),
        (["train", "--confg=demo"], "unknown argument '--confg'; did you mean --config?"),
        (["fit", "--suport=x"], "unknown argument '--suport'; did you mean --support?"),
        (["train", "--config.seed=3", "--workdir=x"], "give --config=CONFIG, too"),
        (["import", "x"], "the following arguments are required: DIR"),
        (["import", "x", "y", "--variant=old"], "invalid choice: 'old'"),
        (["import", "x", "y", "--varian=reference"], "unknown argument '--varian'; did you mean"),
        (["import", "x", "y", "--config.seed"], "unknown argument '--config.seed'"),
        (["export", "x", "y", "--config.seed=3"], "unknown argument '--config.seed'"),
    ],
)
def test_mistakes(argv, message, capsys):
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_help_loads_nothing_heavy(repository):
    """The whole program, from its first import to its last line."""
    command = [sys.executable, "-X", "importtime", "-m", "mdmf_jax", "--help"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "mdmf_jax" in loaded and "usage: mdmf" in done.stdout
    assert not loaded & {"jax", "numpy", "tensorflow", "flax", "ml_collections", "rich"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_an_example(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    assert f"\n  mdmf {name} " in capsys.readouterr().out.split("options:")[1]


def test_every_command_of_an_example_is_right():
    for module in cli.COMMANDS.values():
        for line in module.DETAILS.replace("\\\n", " ").splitlines():
            if line.startswith("  mdmf "):
                assert cli.parse(shlex.split(line)[1:]).run


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"mdmf_jax {mdmf_jax.__version__}\n"


def test_settings_are_taken_in_either_form():
    options = cli.parse(["train", "--config", "demo", "--config.seed", "-1", "--config.x.y=a b"])
    assert (options.config, options.settings) == ("demo", ["--config.seed=-1", "--config.x.y=a b"])


def test_words_after_two_dashes_are_no_flags():
    options = cli.parse(["predict", "--model=m", "--", "--odd.mp4", "--config.seed=3"])
    assert (options.videos, options.settings) == (["--odd.mp4", "--config.seed=3"], [])


@pytest.mark.parametrize(
    ("argv", "name", "warning"),
    [
        (["eval", "--clip=x"], "encoder", "warning: --clip is now --encoder; use that name\n"),
        (["fit", "--support=s", "--out=o", "--clip", "x"], "encoder", "--clip is now --encoder"),
        (["features", "--part=val"], "split", "warning: --part is now --split"),
        (["splits", "draw", "v", "--out=o", "--parts=x"], "shares", "--parts is now --shares"),
        (
            ["prepare", "--videos=v", "--out=o", "--split=x"],
            "protocol",
            "--split is now --protocol",
        ),
        (["eval", "--split=val"], "split", ""),
    ],
)
def test_old_names_of_flags(argv, name, warning, capsys):
    assert getattr(cli.parse(argv), name) in ("x", "val")
    said = capsys.readouterr().err
    assert warning in said and said.count("\n") == bool(warning)


def test_old_names_are_not_in_the_help_nor_where_the_new_ones_are_not(capsys):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    assert "--clip" not in capsys.readouterr().out
    assert cli.main(["predict", "--model=m", "v", "--clip=x"]) == 2
    assert "unknown argument '--clip'" in capsys.readouterr().err


def test_a_stopped_run_ends_as_if_the_signal_had_ended_it(monkeypatch, capsys):
    def run(options):
        raise Stopped("stopped after step 3")

    monkeypatch.setattr(train, "run", run)
    assert cli.main(["train"]) == 143
    assert capsys.readouterr().err == "stopped after step 3\n"


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["import", "--help"])
    assert done.value.code == 0
    assert "--encoder" in capsys.readouterr().out
