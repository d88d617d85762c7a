import json

import pytest

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
    from_huggingface,
    to_huggingface,
)


def small(**changes) -> CLIPConfig:
    vision = VisionConfig(96, 224, 3, 4, "gelu", 1e-6, image_size=48, patch_size=8)
    text = TextConfig(64, 160, 2, 2, vocab_size=600, max_position_embeddings=20, eos_token_id=599)
    return CLIPConfig(vision, text, 40)


def test_own_spelling_is_read_back():
    assert from_huggingface(json.loads(json.dumps(to_huggingface(small())))) == small()


def test_absent_keys_have_the_values_transformers_gives_them():
    transformers = pytest.importorskip("transformers")
    ours = from_huggingface({"model_type": "clip"})
    theirs = transformers.CLIPConfig()
    assert ours.projection_dim == theirs.projection_dim
    for name in vars(ours.vision):
        assert getattr(ours.vision, name) == getattr(theirs.vision_config, name), name
    for name in vars(ours.text):
        assert getattr(ours.text, name) == getattr(theirs.text_config, name), name


def test_transformers_reads_our_spelling():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPConfig(**to_huggingface(small()))
    assert from_huggingface(theirs.to_dict()) == small()


def test_the_older_spelling_of_a_section_wins():
    config = to_huggingface(small())
    config["text_config_dict"] = config["text_config"] | {"hidden_size": 32}
    assert from_huggingface(config).text.hidden_size == 32


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        (None, {"model_type": "siglip"}, "'siglip'"),
        ("vision_config", {"hidden_act": "swish"}, "'swish'.*quick_gelu, gelu"),
        ("vision_config", {"num_channels": 1}, "num_channels is 1"),
        ("vision_config", {"patch_size": 7}, "48.*patch_size 7"),
        ("text_config", {"num_attention_heads": 3}, "64.*num_attention_heads 3"),
    ],
)
def test_what_cannot_be_built_is_refused(section, change, named):
    config = to_huggingface(small())
    (config if section is None else config[section]).update(change)
    with pytest.raises(ConfigError, match=named):
        from_huggingface(config)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": (3, 4, 6)}, r"\(3, 4, 6\), expected four"),
        ({"layers": (3, 4, 0, 3)}, "four positive"),
        ({"width": 7, "heads": 7}, "7 is odd"),
        ({"heads": 30}, "2048 channels.*heads 30"),
        ({"image_size": 240}, "240, expected a multiple of 32"),
    ],
)
def test_a_resnet_that_cannot_be_built_is_refused(change, named):
    with pytest.raises(ConfigError, match=named):
        ResNetConfig(**change)


def described_resnet() -> dict:
    resnet = CLIPConfig(ResNetConfig((1, 2, 3, 4), 32, 16, 96), small().text, 40)
    assert from_huggingface(json.loads(json.dumps(to_huggingface(resnet)))) == resnet
    return to_huggingface(resnet)


def test_spelling_of_a_resnet():
    assert described_resnet()["vision_config"] == {
        "model_type": "clip_resnet",
        "layers": [1, 2, 3, 4],
        "width": 32,
        "heads": 16,
        "image_size": 96,
    }
    assert described_resnet()["text_config"] == to_huggingface(small())["text_config"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": 3}, "'layers': 3, .*positive whole numbers"),
        ({"layers": [1, 2, 3]}, r"\(1, 2, 3\), expected four"),
        ({"width": "64"}, "'width': '64'.*positive whole numbers"),
        ({"heads": 0}, "'heads': 0.*positive whole numbers"),
        ({"image_size": 100}, "100, expected a multiple of 32"),
        ({"num_channels": 1}, "num_channels is 1"),
    ],
)
def test_a_bad_description_of_a_resnet_is_refused(change, named):
    config = described_resnet()
    config["vision_config"].update(change)
    with pytest.raises(ConfigError, match=named):
        from_huggingface(config)


def test_all_sizes_of_a_resnet_must_be_said():
    config = described_resnet()
    del config["vision_config"]["width"], config["vision_config"]["heads"]
    with pytest.raises(ConfigError, match="clip_resnet without width, heads"):
        from_huggingface(config)
