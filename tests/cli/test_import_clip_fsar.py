"""Published checkpoints of CLIP-FSAR: imported, evaluated, exported; and a run of the method."""

import io

import numpy as np
import pytest
from published_names import shapes
from rich.console import Console
from safetensors.numpy import load_file
from torch_writer import write_state_dict

from configs import common
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.runs.evaluate import Task, evaluate
from mdmf_jax.runs.published_checkpoint import read_checkpoint
from mdmf_jax.runs.train import train_and_evaluate

# ml_collections loads config files by a method that Python has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def quiet():
    return Console(file=io.StringIO(), width=120)


@pytest.fixture
def imported(command, clip_fsar_tensors, clip_folder, tmp_path):
    """The run's folder of a checkpoint as the published training on several GPUs writes it."""
    names = {f"module.{name}": tensor for name, tensor in clip_fsar_tensors.items()}
    path = write_state_dict(tmp_path / "checkpoint.pyth", names, "model_state")
    folder = tmp_path / "imported"
    settings = ["--config.clip_fsar.at_test=combined", "--config.clip_fsar.merge_before=True"]
    printed = command("import", path, folder, "--encoder", clip_folder, *settings)
    assert "CLIP-FSAR checkpoint" in printed and f"--checkpoint={folder}" in printed
    return folder


def test_checkpoint(imported, clip_fsar_tensors):
    config, params, _ = read_checkpoint(imported)
    assert (config.variant, config.method) == ("reference", "clip_fsar")
    assert (config.encoder.normalise, config.data.flip) == ("clip", False)
    head = config.head
    assert (head.depth, head.hidden, head.at_test, head.merge_before) == (1, 20, "combined", True)
    np.testing.assert_array_equal(
        params["head"]["fusion"]["ffn0"]["fc1"]["kernel"],
        clip_fsar_tensors["head.context2.layers.0.1.net.0.weight"].T,
    )
    projection = params["encoder"]["visual_projection"]["kernel"]
    np.testing.assert_array_equal(projection, clip_fsar_tensors["head.backbone.proj"])


def test_evaluation(imported, videos):
    task = Task(data=str(videos), way=2, shot=2, queries=1, episodes=4)
    results = evaluate(task, checkpoint=imported, console=quiet())
    assert results["checkpoint_step"] == 0
    assert 0 <= results["accuracy"] <= 1
    assert results["prompt_accuracy"] is None


def test_export(command, imported, clip_fsar_tensors, tmp_path):
    command("export", imported, tmp_path / "out.safetensors")
    exported = load_file(tmp_path / "out.safetensors")
    assert exported.keys() == clip_fsar_tensors.keys() <= shapes("clip_fsar_vitb16").keys()
    for name, tensor in exported.items():
        np.testing.assert_array_equal(tensor, clip_fsar_tensors[name])


@pytest.mark.slow
def test_training(tiny, tmp_path):
    settings = common.get_config("method=clip_fsar")
    settings.update_from_flattened_dict(tiny)
    settings.clip_fsar.update(heads=2, hidden=16, ffn_dropout=0.0, bidirectional=False)
    settings.train.update(steps=2, validate_every=2)
    settings.eval.update(shots=(1,), untrained=False)
    results, history = train_and_evaluate(from_config_dict(settings), tmp_path / "run", quiet())
    for entry in history:
        total = entry["cross_entropy"] + settings.clip_fsar.class_weight * entry["class"]
        assert entry["loss"] == pytest.approx(total, rel=1e-5)
        assert entry["class"] > 0
    assert len(history) == 2
    again = evaluate(Task(), checkpoint=tmp_path / "run", console=quiet())
    assert again["accuracy"] == results["test"]["2way_1shot"]["accuracy"]
