"""Checkpoints of the methods with adapted towers: recognised, imported, and written again."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from torch_writer import write_state_dict

from configs import demo
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.runs.published_checkpoint import read_checkpoint
from mdmf_jax.training.build import make_model
from mdmf_jax.weights.overlay import merged
from mdmf_jax.weights.published import published_form

CLASSES = 5
# How the published programs wrap their state dictionaries.
WRAPPERS = {
    "ts_fsar": "state_dict",
    "d2st": "model_state",
    "task_adapter_pp": "state",
    "clip_spm": "model_state_dict",
    "emp_net": "model_state",
}


def published_tensors(method):
    """Random parameters of a method on the demo's CLIP, under the published names."""
    config = from_config_dict(demo.get_config(f"method={method}"))
    model = make_model(config, CLASSES)
    form = published_form(config.method, config.encoder_name)
    params = model.init(jax.random.key(0))
    if form.texts:
        params = params | {"encoder": merged(params["encoder"], model.fixed)}
    return form, {name: np.asarray(x) for name, x in form.state_dict(params).items()}


@pytest.mark.parametrize(
    "method",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "task_adapter_pp")) for n in WRAPPERS],
)
def test_import_and_export(method, command, tmp_path):
    form, tensors = published_tensors(method)
    path = write_state_dict(tmp_path / "checkpoint.pt", tensors, WRAPPERS[method])
    folder, out = tmp_path / "run", tmp_path / "out.safetensors"
    arguments = ("--encoder", "packaged:demo", f"--config=demo:method={method}")
    printed = command("import", path, folder, *arguments)
    assert f"{form.title} checkpoint" in printed
    config, _, found = read_checkpoint(folder)
    assert (config.method, found) == (method, form)
    command("export", folder, out)
    exported = load_file(out)
    assert exported.keys() == tensors.keys()
    for name, tensor in exported.items():
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)


def test_another_text_tower_is_refused(fails, tmp_path):
    _, tensors = published_tensors("task_adapter_pp")
    tensors["text.text_projection"] = tensors["text.text_projection"] + 0.5
    path = write_state_dict(tmp_path / "checkpoint.pt", tensors, "state")
    arguments = ("--encoder", "packaged:demo", "--config=demo:method=task_adapter_pp")
    message = fails("import", path, tmp_path / "run", *arguments)
    assert "text_projection/kernel is not that of the encoder packaged:demo" in message


def test_a_missing_tensor_is_named(fails, tmp_path):
    _, tensors = published_tensors("emp_net")
    del tensors["head.inter_reasion_token.layers.0.0.norm.weight"]
    path = write_state_dict(tmp_path / "checkpoint.pt", tensors, "model_state")
    arguments = ("--encoder", "packaged:demo", "--config=demo:method=emp_net")
    message = fails("import", path, tmp_path / "run", *arguments)
    assert "head.inter_reasion_token.layers.0.0.norm.weight" in message
