"""`mdmf`: what it loads, and how it fails."""

import subprocess
import sys

import pytest

from mdmf_jax.cli import main as cli


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


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["import", "--help"])
    assert done.value.code == 0
    assert "--encoder" in capsys.readouterr().out
