"""What weights are recognised as, and whether they fit a CLIP."""

import numpy as np
import pytest
from published_names import random_tensors, shapes
from safetensors.numpy import save_file

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.weights.pretrained import load_pretrained
from mdmf_jax.weights.published import check_image_tower, fusion_sizes
from mdmf_jax.weights.sources import open_source

MODELS = {"mdmf_vitb16": "mdmf", "clip_fsar_vitb16": "clip_fsar", "clip_fsar_rn50": "clip_fsar"}


def empty(model: str, prefix: str = "backbone.") -> dict[str, np.ndarray]:
    """A published model's tensors as zeros that take no memory."""
    return {
        name.replace("backbone.", prefix): np.broadcast_to(np.float32(0), shape)
        for name, shape in shapes(model).items()
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_are_recognised_by_names_alone(model, prefix, tmp_path):
    tensors = random_tensors({prefix + name: () for name in shapes(model)})
    save_file(tensors, tmp_path / "x.safetensors")
    source = open_source(tmp_path / "x.safetensors")
    assert (source.method, source.clip) == (MODELS[model], None)
    assert source.tensors.keys() == shapes(model).keys()


def test_a_checkpoint_is_not_an_encoder(tmp_path):
    save_file(
        random_tensors({name: () for name in shapes("mdmf_vitb16")}), tmp_path / "x.safetensors"
    )
    with pytest.raises(WeightsError, match="a CLIP-MDMF checkpoint, not a CLIP; convert it"):
        load_pretrained("clip", tmp_path / "x.safetensors")


@pytest.mark.parametrize("names", [("a\nb",), ("x", "module.x")])
def test_names_are_printable_and_single(names, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({name: np.zeros(1, np.float32) for name in names}, path)
    with pytest.raises(WeightsError, match="is doubled or broken") as caught:
        open_source(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("model", MODELS)
def test_fusion_sizes(model):
    tensors = empty(model)
    assert fusion_sizes(tensors) == {"depth": 1, "hidden": 2048}
    first = {name: x for name, x in tensors.items() if "context2.layers.0." in name}
    second = {name.replace("layers.0.", "layers.1."): x for name, x in first.items()}
    assert fusion_sizes(tensors | second) == {"depth": 2, "hidden": 2048}


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.module."])
def test_image_tower(prefix):
    def check(model, clip):
        config = published_config(clip)
        check_image_tower(empty(model, prefix), config, origin="x.pt", clip_path="folder")

    check("mdmf_vitb16", "vit_b16")
    check("clip_fsar_vitb16", "vit_b16")
    check("clip_fsar_rn50", "rn50")
    with pytest.raises(WeightsError, match=r"x.pt.*in folder \(patch_size 16 and 32\)"):
        check("mdmf_vitb16", "vit_b32")
    with pytest.raises(WeightsError, match="features 1024 and 512, layers"):
        check("clip_fsar_rn50", "rn101")
    with pytest.raises(WeightsError, match="one is a ResNet"):
        check("clip_fsar_rn50", "vit_b16")
