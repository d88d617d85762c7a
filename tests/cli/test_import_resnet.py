"""CLIPs with a ResNet and checkpoints of CLIP-MDMF that were trained from them."""

import io
import json

import jax
import numpy as np
import pytest
from published_names import shapes
from rich.console import Console
from safetensors.numpy import load_file, save_file
from torch_writer import write_state_dict

from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig
from mdmf_jax.runs.evaluate import Task, evaluate
from mdmf_jax.runs.published_checkpoint import read_checkpoint
from mdmf_jax.weights import openai
from mdmf_jax.weights.huggingface import load_clip

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = CLIPConfig(ResNetConfig((1, 1, 1, 1), 2, 1, 32), TextConfig(16, 64, 1, 1), 32)
# What OpenAI's archives have besides the weights.
NUMBERS = dict(input_resolution=32, context_length=77, vocab_size=49408)


@pytest.fixture
def clip(command, clip_resnet_tensors, tmp_path):
    """The folder of an OpenAI CLIP."""
    whole = clip_resnet_tensors | {name: np.array(value) for name, value in NUMBERS.items()}
    path, folder = write_state_dict(tmp_path / "RN50.pt", whole), tmp_path / "clip"
    assert "CLIP of OpenAI" in command("import", path, folder)
    return folder


@pytest.fixture
def imported(command, clip, mdmf_resnet_tensors, tmp_path):
    """The run's folder of a checkpoint as the published training writes it."""
    names = {n.replace("backbone.", "backbone.module."): x for n, x in mdmf_resnet_tensors.items()}
    path = write_state_dict(tmp_path / "checkpoint.pt", names, "model_state_dict")
    folder = tmp_path / "imported"
    assert "CLIP-MDMF checkpoint" in command("import", path, folder, "--encoder", clip)
    return folder


def test_clip(clip, clip_resnet_tensors):
    loaded = load_clip(clip)
    assert loaded.config == CONFIG
    assert loaded.config.text.hidden_act == "quick_gelu"
    expected = openai.load_state_dict(clip_resnet_tensors, CONFIG)[1]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected)
    kernel = clip_resnet_tensors["visual.layer3.0.downsample.0.weight"]
    block = loaded.params["vision_model"]["layer3"]["0"]
    np.testing.assert_array_equal(block["downsample_conv"]["kernel"], kernel.transpose(2, 3, 1, 0))


def test_activation(command, clip_resnet_tensors, tmp_path):
    path = write_state_dict(tmp_path / "x.pt", clip_resnet_tensors)
    command("import", path, tmp_path / "clip", "--activation=gelu")
    assert load_clip(tmp_path / "clip").config.text.hidden_act == "gelu"


def test_own_folder(command, fails, clip, tmp_path):
    """`import` reads what it wrote, also with pickled weights; its tensors alone do not do."""
    weights = clip / "model.safetensors"
    said = fails("import", weights, tmp_path / "again")
    assert "give the folder with its config.json" in said
    original = load_clip(clip)
    write_state_dict(clip / "pytorch_model.bin", load_file(weights))
    weights.unlink()
    command("import", clip, tmp_path / "again")
    again = load_clip(tmp_path / "again")
    assert again.config == original.config
    jax.tree.map(np.testing.assert_array_equal, again.params, original.params)


def test_checkpoint(imported, clip, mdmf_resnet_tensors):
    config, params, _ = read_checkpoint(imported)
    assert config.encoder.path == str(clip)
    assert (config.data.crop, config.data.resize, config.head.hidden) == (32, 36, 64)
    tower, tensors = params["encoder"]["vision_model"], mdmf_resnet_tensors
    variance = tensors["backbone.layer4.0.bn2.running_var"]
    np.testing.assert_array_equal(tower["layer4"]["0"]["bn2"]["var"], variance)
    projection = params["encoder"]["visual_projection"]["kernel"]
    np.testing.assert_array_equal(projection, tensors["backbone.attnpool.c_proj.weight"].T)


def test_evaluation(imported, videos):
    task = Task(data=str(videos), way=2, shot=1, queries=1, episodes=4)
    results = evaluate(task, checkpoint=imported, console=Console(file=io.StringIO()))
    assert results["checkpoint_step"] == 0
    assert 0 <= results["accuracy"] <= 1


def test_export(command, imported, mdmf_resnet_tensors, tmp_path):
    command("export", imported, tmp_path / "out.safetensors")
    exported = load_file(tmp_path / "out.safetensors")
    left_out = ("num_batches_tracked", "context_conv11", "context_conv22")
    names = {n for n in shapes("mdmf_rn50") if not any(part in n for part in left_out)}
    assert exported.keys() == names & mdmf_resnet_tensors.keys()
    for name, tensor in exported.items():
        np.testing.assert_array_equal(tensor, mdmf_resnet_tensors[name])


def test_mistakes(fails, clip, clip_folder, mdmf_resnet_tensors, tmp_path):
    path, folder = tmp_path / "x.safetensors", tmp_path / "new"
    save_file(mdmf_resnet_tensors, path)
    assert "one is a ResNet" in fails("import", path, folder, "--encoder", clip_folder)
    said = fails("import", path, folder, "--encoder", clip, "--config.data.crop=64")
    assert f"data.crop is 64, but the encoder in {clip} takes images of 32 pixels" in said
    described = json.loads((clip / "config.json").read_text())
    described["vision_config"]["image_size"] = 64
    (clip / "config.json").write_text(json.dumps(described))
    said = fails("import", path, folder, "--encoder", clip)
    assert "visual.attnpool.positional_embedding has shape (2, 64), expected (5, 64)" in said
    assert not folder.exists()
