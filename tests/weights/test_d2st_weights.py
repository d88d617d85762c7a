"""D2ST-Adapter's names and layouts: back and forth, and what is wrong with a state dictionary."""

from typing import Any

import jax
import numpy as np
import pytest

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.d2st import D2STEncoder
from mdmf_jax.models.encoders.d2st_resnet import D2STResNetEncoder
from mdmf_jax.models.encoders.resnet import ResNetSizes
from mdmf_jax.models.methods.d2st import D2STConfig
from mdmf_jax.weights import d2st

CLIP = CLIPConfig(
    VisionConfig(32, 64, 2, 2, image_size=8, patch_size=4), TextConfig(16, 32, 1, 2), 16
)
RESNET = ResNetSizes((1, 2, 1, 1), (4, 8, 16, 32), stem=8)
FRAMES, CLASSES = 3, 5


def named(encoder, frames=FRAMES, classes=CLASSES) -> dict[str, Any]:
    """Random tensors under the published names."""
    rng = np.random.default_rng(0)
    width = encoder.width
    kernel = {"kernel": np.zeros((width, classes)), "bias": np.zeros(classes)}
    shapes = {"encoder": d2st.encoder_shapes(encoder, frames), "head": {"classifier": kernel}}
    blank = jax.tree.map(lambda x: np.broadcast_to(np.int8(0), x.shape), shapes)
    names = {name: x.shape for name, x in d2st.state_dict(blank).items()}
    if width > 128:
        return names
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in names.items()}


@pytest.fixture(scope="module", params=["vit", "resnet"])
def form(request):
    """(tensors, load) of either form."""
    if request.param == "vit":
        tensors = named(D2STEncoder(D2STEncoder.Config(), CLIP))
        return tensors, lambda given, **more: d2st.load_state_dict(given, CLIP, **more)
    tensors = named(D2STResNetEncoder(D2STResNetEncoder.Config(), RESNET))

    def load(given, **more):
        return d2st.load_resnet_state_dict(given, frames=FRAMES, **more)

    return tensors, load


def test_published_names_and_shapes():
    encoder = D2STEncoder(D2STEncoder.Config(), published_config("vit_b16"))
    found = named(encoder, 8, 31)
    assert len(found) == 584 + 2  # the classifier
    adapter = "model.transformer.resblocks.11.Adapter"
    for name, shape in {
        "model.class_embedding": (768,),
        "model.positional_embedding": (197, 768),
        "model.temporal_embedding": (1, 8, 768),
        "model.conv1.weight": (768, 3, 16, 16),
        "model.ln_post.bias": (768,),
        "model.transformer.resblocks.11.attn.in_proj_weight": (2304, 768),
        f"{adapter}.down.weight": (192, 768),
        f"{adapter}.pos_embed.weight": (192, 1, 3, 3, 3),
        f"{adapter}.s_ln.weight": (192,),
        f"{adapter}.s_attn.conv_offset.0.weight": (48, 1, 4, 5, 5),
        f"{adapter}.t_attn.conv_offset.0.weight": (48, 1, 1, 7, 7),
        f"{adapter}.t_attn.conv_offset.1.norm.weight": (48,),
        f"{adapter}.t_attn.conv_offset.3.weight": (3, 48, 1, 1, 1),
        f"{adapter}.t_attn.proj_out.weight": (192, 192),
        f"{adapter}.up.bias": (768,),
        "model.classification_layer.weight": (31, 768),
    }.items():
        assert found.pop(name) == shape


def test_published_names_of_the_resnet():
    found = named(D2STResNetEncoder(D2STResNetEncoder.Config(), ResNetSizes()), 8, 31)
    for name, shape in {
        "model.stage1.0.weight": (64, 3, 7, 7),
        "model.stage1.1.running_var": (64,),
        "model.stage1.4.2.conv3.weight": (256, 64, 1, 1),
        "model.stage4.2.bn3.running_mean": (2048,),
        "model.stage3.0.downsample.0.weight": (1024, 512, 1, 1),
        "model.Adapter_4.s_ln.norm.weight": (512,),
        "model.Adapter_4.s_attn.conv_offset.0.weight": (64, 1, 4, 4, 4),
        "model.Adapter_2.t_attn.conv_offset.0.weight": (64, 1, 1, 14, 14),
        "model.Adapter_1.t_attn.proj_q.weight": (64, 64, 1, 1, 1),
        "model.Adapter_1.up.weight": (256, 64, 1, 1, 1),
        "model.classification_layer.bias": (31,),
    }.items():
        assert found.pop(name) == shape


def test_back_and_forth(form):
    tensors, load = form
    params = load({f"module.{name}": tensor for name, tensor in tensors.items()})
    assert params["head"]["classifier"]["kernel"].shape[1] == CLASSES
    back = d2st.state_dict(params)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
    layer = (
        params["encoder"].get("adapter2")
        or (params["encoder"]["vision_model"]["encoder"]["layers"]["1"]["adapter"]["bottleneck"])
    )
    ends = "_2.pos_embed.weight", ".1.Adapter.pos_embed.weight"
    name = next(n for n in tensors if n.endswith(ends))
    np.testing.assert_array_equal(
        layer["neighbours"]["kernel"][0, 1, 2], tensors[name][:, 0, 0, 1, 2]
    )


def test_the_classifier_is_there_if_its_loss_is(form):
    tensors, load = form
    without = {n: x for n, x in tensors.items() if "classification_layer" not in n}
    assert load(without)["head"] == {}
    assert load(without, method=D2STConfig())["head"] == {}
    assert "classifier" in load(tensors, method=D2STConfig(class_weight=2))["head"]
    with pytest.raises(WeightsError, match="missing tensor model.classification_layer.bias"):
        load(without, method=D2STConfig(class_weight=2))
    with pytest.raises(WeightsError, match="unknown tensor model.classification_layer.bias"):
        load(tensors, method=D2STConfig())


def test_what_is_wrong_is_named(form):
    tensors, load = form
    name = next(n for n in tensors if n.endswith(".s_attn.conv_offset.0.weight"))
    without = {key: x for key, x in tensors.items() if key != name}
    for given, message in (
        (without, f"missing tensor {name}"),
        (tensors | {"model.more": tensors[name]}, "unknown tensor model.more"),
        (tensors | {name: tensors[name][:1]}, f"tensor {name} has shape"),
    ):
        with pytest.raises(WeightsError) as error:
            load(given, origin="x.pyth")
        assert str(error.value).startswith("x.pyth: ") and message in str(error.value)
        assert "\n" not in str(error.value)


def test_counters_of_batch_norms_are_read_over():
    tensors = named(D2STResNetEncoder(D2STResNetEncoder.Config(), RESNET))
    counters: dict[str, Any] = {
        name.replace("running_var", "num_batches_tracked"): np.int64(7)
        for name in tensors
        if name.endswith("running_var")
    }
    assert len(counters) == 1 + 3 * 5 + 4
    d2st.load_resnet_state_dict(tensors | counters, frames=FRAMES)


def test_a_file_of_something_else_is_no_resnet():
    with pytest.raises(WeightsError, match="x: no tensor model.stage1.0.weight"):
        d2st.load_resnet_state_dict({}, origin="x")
