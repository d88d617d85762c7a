"""TS-FSAR's names and layouts: back and forth, and what is wrong with a state dictionary."""

import jax
import numpy as np
import pytest

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.ts_fsar import TSFSAREncoder
from mdmf_jax.models.methods.ts_fsar import TSFSARConfig
from mdmf_jax.weights import ts_fsar

CLIP = CLIPConfig(
    VisionConfig(64, 128, 2, 2, image_size=8, patch_size=4), TextConfig(16, 32, 1, 2), 16
)
OPTIONS = TSFSAREncoder.Config(side_width=64, temporal_blocks=(1,))


def shapes_of(template):
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.int8(0), leaf.shape), template)
    return {name: x.shape for name, x in ts_fsar.state_dict(zeros).items()}


@pytest.fixture(scope="module")
def tensors():
    names = shapes_of(ts_fsar.template(CLIP, OPTIONS, TSFSARConfig(), 3, 4))
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in names.items()}


def test_published_names_and_shapes():
    options = TSFSAREncoder.Config()
    found = shapes_of(ts_fsar.template(published_config("vit_b16"), options, TSFSARConfig(), 8, 31))
    assert len(found) == 458
    for name, shape in {
        "model.side_downsample.12.weight": (256, 768),
        "model.side_LN.12.bias": (768,),
        "model.side_transformer.11.attn.proj.weight": (256, 256),
        "model.side_transformer.11.mlp.fc1.weight": (1024, 256),
        "model.side_gate_params.11": (1,),
        "model.Adapter.attn.q_linear.bias": (512,),
        "model.up_linear.weight": (512, 256),
        "ts_dcm.generator.weight": (64, 256),
        "model.Linear.weight": (31, 32_896),
        "model.embeddings.patch_embedding.weight": (768, 3, 16, 16),
        "model.embeddings.position_embedding.weight": (197, 768),
        "model.pre_layernorm.weight": (768,),
        "model.layers.11.self_attn.out_proj.weight": (768, 768),
        "model.post_layernorm.bias": (768,),
        "model.projection.weight": (512, 768),
    }.items():
        assert found.pop(name) == shape


def test_back_and_forth(tensors):
    params = ts_fsar.load_state_dict(tensors, CLIP, OPTIONS)
    assert params["head"]["generator"]["kernel"].shape == (64, 9)
    np.testing.assert_array_equal(
        params["encoder"]["adapter_ladder"]["block_1"]["mlp"]["fc2"]["kernel"],
        tensors["model.side_transformer.1.mlp.fc2.weight"].T,
    )
    back = ts_fsar.state_dict(params)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


@pytest.mark.parametrize("name", ["model.side_gate_params.0", "model.Linear.weight"])
def test_what_is_wrong_is_named(tensors, name):
    without = {key: x for key, x in tensors.items() if key != name}
    for given, message in (
        (without, f"missing tensor {name}"),
        (tensors | {"model.more": tensors[name]}, "unknown tensor model.more"),
        (tensors | {name: tensors[name][..., None]}, f"tensor {name} has shape"),
    ):
        with pytest.raises(WeightsError) as error:
            ts_fsar.load_state_dict(given, CLIP, OPTIONS, origin="x.pth")
        assert str(error.value).startswith("x.pth: ") and message in str(error.value)
        assert "\n" not in str(error.value)
