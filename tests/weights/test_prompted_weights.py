"""State dictionaries of CLIP-SPM and EMP-Net: there and back, and what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig
from mdmf_jax.weights import clip_spm, emp_net
from mdmf_jax.weights.openai_sizes import vision_from_state_dict

PARITY = Path(__file__).parents[1] / "parity"
TEXT_TOWER = ("positional_embedding", "text_projection", "transformer.", "token_emb", "ln_final.")
KINDS = {
    "clip_spm_vit": (clip_spm, "clip_spm/params_vit.json", "backbone."),
    "clip_spm_rn50": (clip_spm, "clip_spm/params_rn50.json", "backbone."),
    "emp_net": (emp_net, "emp_net/params_vit.json", "head.backbone."),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """(module, sizes of the CLIP, tensors with the published names and shapes)."""
    module, file, prefix = KINDS[request.param]
    shapes = {n: m["shape"] for n, m in json.loads((PARITY / file).read_text()).items()}
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.random(shape, np.float32)
        for name, shape in shapes.items()
        if not name.startswith(TEXT_TOWER)
    }
    vision, width = vision_from_state_dict(tensors, prefix, origin=file)
    return module, CLIPConfig(vision, TextConfig(64, 256, 2, 1), width), tensors


def test_there_and_back(kind):
    module, clip, tensors = kind
    counters = {"backbone.bn1.num_batches_tracked": np.int64(3)} if module is clip_spm else {}
    wrapped = {f"module.{name}": x for name, x in tensors.items()} | counters
    found = module.state_dict(module.load_state_dict(wrapped, clip))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def test_every_wrong_tensor_is_named_in_one_line(kind):
    module, clip, tensors = kind
    first, second = sorted(tensors)[:2]
    wrong = {name: x for name, x in tensors.items() if name != first}
    wrong |= {second: tensors[second][None], "head.more.weight": np.zeros(2, np.float32)}
    with pytest.raises(WeightsError) as caught:
        module.load_state_dict(wrong, clip, origin="file.pt")
    message = str(caught.value)
    assert message.startswith("file.pt: ") and "\n" not in message
    for part in ("unknown tensor head.more.weight", f"missing tensor {first}", f"{second} has sha"):
        assert part in message


@pytest.mark.parametrize("kind", ["clip_spm_vit"], indirect=True)
def test_gates_of_other_widths_are_named(kind):
    _, clip, tensors = kind
    other = clip_spm.CLIPSPMConfig(vision_gate=2.0)
    with pytest.raises(WeightsError, match="gate_vision.0.weight has shape"):
        clip_spm.load_state_dict(tensors, clip, None, other)
