"""torchvision's ResNets: names, sizes, files, and what is wrong with them."""

from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from torch_writer import write_state_dict

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.models.encoders.resnet import ResNetSizes
from mdmf_jax.weights import torchvision
from mdmf_jax.weights.pretrained import load_pretrained

SMALL = ResNetSizes((1, 2, 1, 1), (4, 8, 16, 32), stem=8)
BASIC = ResNetSizes((2, 1, 1, 1), (4, 8, 16, 32), stem=4, bottleneck=False)


def shapes_of(sizes):
    template = torchvision.template(sizes)
    blank = jax.tree.map(lambda x: np.broadcast_to(np.int8(0), x.shape), template)
    return {name: x.shape for name, x in torchvision.state_dict(blank).items()}


def tensors_of(sizes):
    rng = np.random.default_rng(0)
    shapes = shapes_of(sizes).items()
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes}


def whole(sizes):
    """With the classifier and the counters, as torchvision's files have them."""
    tensors = tensors_of(sizes)
    counters = {n.replace("running_var", "num_batches_tracked"): np.array(3) for n in tensors
                if n.endswith("running_var")}  # fmt: skip
    classifier = {"fc.weight": np.ones((10, 9), np.float32), "fc.bias": np.ones(10, np.float32)}
    return tensors | counters | classifier


def test_names_of_resnet_50_and_18():
    tensors = shapes_of(ResNetSizes())
    assert len(tensors) == 53 * 5
    assert tensors["layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert tensors["layer2.0.downsample.0.weight"] == (512, 256, 1, 1)
    eighteen = ResNetSizes((2, 2, 2, 2), bottleneck=False)
    names: dict[str, Any] = flatten_dict(torchvision.template(eighteen), sep="/")
    assert len(names) == 20 * 5 and names["layer4/1/conv2/kernel"].shape == (3, 3, 512, 512)
    assert "layer1/0/downsample_conv/kernel" not in names and eighteen.width == 512


@pytest.mark.parametrize("sizes", [SMALL, BASIC], ids=["bottleneck", "basic"])
def test_back_and_forth(sizes):
    found, params = torchvision.load_state_dict(whole(sizes))
    assert found == sizes
    tensors = tensors_of(sizes)
    back = torchvision.state_dict(params)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_files(tmp_path):
    tensors = whole(SMALL)
    save_file(tensors, tmp_path / "resnet.safetensors")
    found = load_pretrained("torchvision_resnet", str(tmp_path / "resnet.safetensors"))
    without = {name: x for name, x in tensors.items() if x.dtype == np.float32}
    write_state_dict(tmp_path / "resnet.pth", without)
    other = load_pretrained("torchvision_resnet", str(tmp_path / "resnet.pth"))
    assert found is not None and other is not None and other.config == SMALL
    jax.tree.map(np.testing.assert_array_equal, other.params, found.params)
    assert found.config == SMALL and found.tokenizer is None
    torchvision.save_resnet(tmp_path / "folder", found.params)
    again = load_pretrained("torchvision_resnet", tmp_path / "folder")
    assert again is not None
    jax.tree.map(np.testing.assert_array_equal, again.params, found.params)


def test_what_is_wrong_gets_one_line(tmp_path):
    tensors = whole(SMALL)
    del tensors["layer2.1.bn2.weight"]
    save_file(tensors, tmp_path / "lacks.safetensors")
    with pytest.raises(WeightsError, match="missing tensor layer2.1.bn2.weight"):
        torchvision.load_resnet(tmp_path / "lacks.safetensors")
    with pytest.raises(WeightsError, match="gone.pth: no such file; expected a ResNet"):
        torchvision.load_resnet(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="no tensor conv1.weight with 4 axes: not a ResNet"):
        torchvision.load_state_dict({"fc.weight": np.ones((2, 2))})
    with pytest.raises(ConfigError, match="to a ResNet's file of torchvision"):
        load_pretrained("torchvision_resnet", "")
