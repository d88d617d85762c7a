"""Published checkpoints of CLIP-MDMF: imported, evaluated, trained further, exported."""

import io
import json

import jax
import numpy as np
import pytest
from published_names import shapes
from rich.console import Console
from safetensors.numpy import load_file, save_file
from torch_writer import write_state_dict

from mdmf_jax.cli import main as cli
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.runs.evaluate import Task, evaluate
from mdmf_jax.runs.published_checkpoint import read_checkpoint
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints

# ml_collections loads config files by a method that Python has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def published(tmp_path, mdmf_tensors):
    """A checkpoint as the published training writes it."""
    names = {n.replace("backbone.", "backbone.module."): x for n, x in mdmf_tensors.items()}
    return write_state_dict(tmp_path / "checkpoint14000.pt", names, "model_state_dict")


@pytest.fixture
def imported(command, published, clip_folder, tmp_path):
    folder = tmp_path / "imported"
    printed = command("import", published, folder, "--encoder", clip_folder)
    assert "CLIP-MDMF checkpoint" in printed and f"--checkpoint={folder}" in printed
    return folder


def test_parameters(imported, mdmf_tensors):
    params = read_checkpoint(imported)[1]
    head = params["head"]
    np.testing.assert_array_equal(
        head["local_fusion"]["ffn0"]["fc1"]["kernel"],
        mdmf_tensors["context2.layers.0.1.net.0.weight"].T,
    )
    np.testing.assert_array_equal(
        head["global_context"]["tcn"]["block2_conv1"]["direction"],
        mdmf_tensors["tcn.network.2.conv1.weight_v"].transpose(2, 1, 0),
    )
    projection = params["encoder"]["visual_projection"]["kernel"]
    np.testing.assert_array_equal(projection, mdmf_tensors["backbone.proj"])


def test_settings(imported, clip_folder):
    config = read_checkpoint(imported)[0]
    assert (config.variant, config.method) == ("reference", "mdmf")
    assert config.encoder.path == str(clip_folder)
    assert (config.head.depth, config.head.hidden, config.head.text_token) == (1, 20, "first_frame")
    assert (config.data.crop, config.data.resize) == (16, 18)


def test_evaluation(imported, videos):
    task = Task(data=str(videos), way=2, shot=1, queries=1, episodes=4)
    results = evaluate(task, checkpoint=imported, console=Console(file=io.StringIO()))
    assert results["checkpoint_step"] == 0
    assert 0 <= results["accuracy"] <= 1


@pytest.mark.slow
def test_training_goes_on(command, published, repository, tiny, tmp_path, capsys):
    """With a learning rate of 0, the parameters stay as they were."""
    changed = tiny | {"train.learning_rate": 0.0, "mdmf.hidden": 20, "train.steps": 2}
    changed |= {"eval.untrained": False, "eval.shots": (1,), "train.freeze": ("^encoder/",)}
    flags = [f"--config={repository}/configs/common.py"]
    flags += [f"--config.{name}={value}" for name, value in changed.items()]
    folder = tmp_path / "run"
    command("import", published, folder, *flags)
    before = read_checkpoint(folder)[1]

    assert cli.main(["train", *flags, f"--workdir={folder}"]) == 0
    assert "continuing after step 0" in capsys.readouterr().out
    with Checkpoints(folder / FOLDER) as checkpoints:
        assert checkpoints.latest() == 2
    after = read_checkpoint(folder / FOLDER / "2")[1]
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert json.loads((folder / "results.json").read_text())["validation"]["step"] == 2


def test_export_and_back(command, imported, clip_folder, mdmf_tensors, tmp_path):
    file, again = tmp_path / "out.safetensors", tmp_path / "again"
    assert "CLIP-MDMF" in command("export", imported, file)
    exported = load_file(file)
    unused = {name for name in shapes("mdmf_vitb16") if name.startswith("context_conv")}
    unused -= {name for name in unused if name[12:14] in ("1.", "2.")}
    assert len(unused) == 4
    assert exported.keys() == mdmf_tensors.keys() - unused
    for name, tensor in exported.items():
        np.testing.assert_array_equal(tensor, mdmf_tensors[name])
    assert file.stat().st_mode & 0o777 == imported.stat().st_mode & 0o666

    command("import", file, again, "--encoder", clip_folder, "--variant=corrected")
    (_, one, _), (config, other, _) = read_checkpoint(imported), read_checkpoint(again)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert (config.variant, config.head.text_token) == ("corrected", "text")


def test_export_of_a_run(command, finished_run, tmp_path):
    command("export", finished_run.folder, tmp_path / "out.safetensors")
    exported = load_file(tmp_path / "out.safetensors")
    with Checkpoints(finished_run.folder / FOLDER) as checkpoints:
        best = checkpoints.best()
    params = read_checkpoint(finished_run.folder / FOLDER / str(best))[1]
    kernel = params["head"]["global_fusion"]["attention0"]["to_out"]["kernel"]
    np.testing.assert_array_equal(
        exported["context_local.layers.0.0.fn.to_out.0.weight"], np.asarray(kernel).T
    )


def test_mistakes(fails, published, clip_folder, mdmf_tensors, tmp_path):
    folder = tmp_path / "new"

    def message(*arguments):
        said = fails("import", published, folder, *arguments)
        assert not folder.exists()
        return said

    assert "--encoder is missing" in message()
    assert "absent: no such folder" in message("--encoder=absent")
    wide = "num_hidden_layers 1 and 4, image_size 16 and 32"
    assert wide in message("--encoder=packaged:demo")
    assert "data.crop is 12" in message("--encoder", clip_folder, "--config.data.crop=12")
    assert "unknown setting mdmf.dpeth" in message(
        "--encoder", clip_folder, "--config.mdmf.dpeth=2"
    )
    assert "mdmf.heads is 3" in message("--encoder", clip_folder, "--config.mdmf.heads=3")
    assert "--activation=gelu" in message("--encoder", clip_folder, "--activation=gelu")
    assert "config file 'absent.py' does not exist" in message("--config=absent.py")

    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    said = fails("import", published, tmp_path / "full", "--encoder", clip_folder)
    assert "exists already" in said
    some = {name: x.copy() for name, x in mdmf_tensors.items() if name != "scale"}
    save_file(some, tmp_path / "x.safetensors")
    assert "not recognised" in fails("import", tmp_path / "x.safetensors", folder)


def test_a_method_that_this_version_does_not_have(fails, monkeypatch, published, tmp_path):
    monkeypatch.delitem(methods.METHODS, "mdmf")
    said = fails("import", published, tmp_path / "new", "--encoder=x")
    assert "this version has no method mdmf" in said


def test_missing_tensors_are_all_named(fails, mdmf_tensors, clip_folder, tmp_path):
    gone = ["backbone.ln_post.bias", "context2.layers.0.0.norm.bias"]
    some = {name: x.copy() for name, x in mdmf_tensors.items() if name not in gone}
    save_file(some, tmp_path / "x.safetensors")
    said = fails("import", tmp_path / "x.safetensors", tmp_path / "new", "--encoder", clip_folder)
    assert said.endswith("; ".join(f"missing tensor {name}" for name in gone))
    assert not (tmp_path / "new").exists()


def test_mistakes_of_export(fails, imported, tmp_path):
    assert "must end in .safetensors" in fails("export", imported, tmp_path / "out.pt")
    absent = fails("export", tmp_path / "absent", tmp_path / "x.safetensors")
    assert "no such folder" in absent
    file = tmp_path / "file"
    file.touch()
    assert "cannot be written" in fails("export", imported, file / "x.safetensors")
