import json
import sys
from pathlib import Path

import numpy as np
import pytest

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))

import synth  # noqa: E402

from mdmf_jax.errors import WeightsError  # noqa: E402
from mdmf_jax.models.clip.config import CLIPConfig, TextConfig, VisionConfig  # noqa: E402
from mdmf_jax.weights import openai  # noqa: E402
from mdmf_jax.weights.table import to_tensors  # noqa: E402


@pytest.fixture(scope="module")
def tensors():
    case = json.loads((PARITY / "clip/openai_vit.json").read_text())
    return synth.state_dict(case["params"], seed=case["seed"])


def test_sizes_are_read_off_the_shapes(tensors):
    assert openai.config_from_state_dict(tensors, origin="x") == CLIPConfig(
        VisionConfig(128, 512, 3, 2, image_size=32, patch_size=8),
        TextConfig(64, 256, 2, 1, vocab_size=600, eos_token_id=599),
        48,
    )


def test_the_table_works_backwards(tensors):
    back = to_tensors(openai.load_state_dict(tensors)[1], openai.RULES)
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)


def test_the_archives_whole_numbers_are_ignored_and_half_precision_is_widened(tensors):
    half = {name: x.astype(np.float16) for name, x in tensors.items()}
    extra = {"input_resolution": np.array(32), "context_length": np.array(77)}
    _, params = openai.load_state_dict(half | extra | {"vocab_size": np.array(600)})
    kernel = params["visual_projection"]["kernel"]
    assert kernel.dtype == np.float32
    assert np.array_equal(kernel, half["visual.proj"])


def test_wrong_tensors_are_named(tensors):
    broken = dict(tensors)
    del broken["transformer.resblocks.1.ln_2.bias"]
    broken["visual.transformer.resblocks.0.attn.in_proj_weight"] = np.zeros((128, 384), np.float32)
    broken["visual.gain"] = np.zeros(3, np.float32)
    with pytest.raises(WeightsError) as caught:
        openai.load_state_dict(broken, origin="ViT.pt")
    assert str(caught.value).split("; ") == [
        "ViT.pt: unknown tensor visual.gain",
        "tensor visual.transformer.resblocks.0.attn.in_proj_weight has shape (128, 384), "
        "expected (384, 128)",
        "missing tensor transformer.resblocks.1.ln_2.bias",
    ]


def test_what_is_no_vit_clip_is_refused(tensors):
    with pytest.raises(WeightsError, match="ResNet"):
        openai.load_state_dict({**tensors, "visual.layer1.0.conv1.weight": np.zeros(3)})
    with pytest.raises(WeightsError, match="no tensor visual.conv1.weight"):
        openai.load_state_dict({"weight": np.zeros(3)})
