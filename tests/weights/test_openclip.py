"""open_clip's layout: sizes from its config or from shapes, and what is refused."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer, build_vocab
from mdmf_jax.weights import openai
from mdmf_jax.weights.huggingface import template
from mdmf_jax.weights.openclip import config_from_openclip, load_openclip
from mdmf_jax.weights.table import to_tensors

TOKENIZER = Tokenizer(build_vocab([]), [])
VOCAB = len(TOKENIZER.vocab)
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TEXT = TextConfig(64, 256, 2, 1, "gelu", 1e-5, VOCAB, 12, VOCAB - 1)
CONFIGS = {
    "vit": CLIPConfig(VisionConfig(64, 256, 2, 1, "gelu", image_size=16, patch_size=8), TEXT, 20),
    "resnet": CLIPConfig(ResNetConfig((1, 2, 1, 1), 4, 2, 64), TEXT, 20),
}
TOWERS = {
    "vit": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 8},
    "resnet": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 4, "patch_size": None},
}


def described(kind="vit", **changes) -> dict:
    """Content of open_clip_config.json."""
    text = {"context_length": 12, "vocab_size": VOCAB, "width": 64, "heads": 1, "layers": 2}
    model = {"embed_dim": 20, "vision_cfg": dict(TOWERS[kind]), "text_cfg": text} | changes
    return {"model_cfg": model, "preprocess_cfg": {"mean": MEAN, "std": STD}}


def random_params(kind):
    rng = np.random.default_rng(0)
    shapes = template(CONFIGS[kind])
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)


def write(folder, kind="vit", name="open_clip_model.safetensors", config=None):
    tensors = to_tensors(random_params(kind), openai.rules(CONFIGS[kind].vision))
    stored = {name: np.asarray(x, order="C") for name, x in tensors.items()}
    save_file(stored, folder / name)
    if config is not None:
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    TOKENIZER.save(folder)
    return folder


def same(left, right) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, left, right))


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("with_config", [True, False])
def test_config_and_parameters(tmp_path, kind, with_config):
    write(tmp_path, kind, config=described(kind) if with_config else None)
    loaded = load_openclip(tmp_path)
    assert loaded.config == CONFIGS[kind]
    assert same(loaded.params, random_params(kind))
    assert loaded.tokenizer(["a"], 3).tolist() == TOKENIZER(["a"], 3).tolist()


def test_a_file_may_be_given_and_the_folders_other_layout_is_not_read(tmp_path):
    write(tmp_path)
    save_file({"vision_model": np.zeros(3)}, tmp_path / "model.safetensors")
    assert same(load_openclip(tmp_path).params, random_params("vit"))
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "mine.safetensors")
    assert same(load_openclip(tmp_path / "mine.safetensors").params, random_params("vit"))
    with pytest.raises(WeightsError, match="model.safetensors: no tensor visual.conv1.weight"):
        load_openclip(tmp_path)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_becomes_float32(tmp_path, dtype):
    write(tmp_path, name="model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    half = {name: x.astype(dtype) for name, x in tensors.items()}
    save_file(half, tmp_path / "model.safetensors")
    rounded = jax.tree.map(lambda x: x.astype(dtype).astype(np.float32), random_params("vit"))
    loaded = load_openclip(tmp_path).params
    assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
    assert same(loaded, rounded)


def test_activation_and_heads_are_those_of_the_config():
    config = described(quick_gelu=True)
    config["model_cfg"]["vision_cfg"] |= {"head_width": 16, "mlp_ratio": 3.5}
    read = config_from_openclip(config, origin="x")
    assert read.text.hidden_act == read.vision.hidden_act == "quick_gelu"
    assert (read.vision.num_attention_heads, read.vision.intermediate_size) == (4, 224)


# The sizes in open_clip's own model_configs, and what it leaves out because it is the default.
@pytest.mark.parametrize(
    ("name", "vision", "text", "features"),
    [
        ("vit_b16", {}, {}, 512),
        ("vit_l14_336", dict(image_size=336, layers=24, width=1024, patch_size=14), 768, 768),
        ("rn50x64", dict(image_size=448, layers=[3, 15, 36, 10], width=128), 1024, 1024),
    ],
)
def test_published_models_in_open_clips_words(name, vision, text, features):
    text = {"width": text, "heads": text // 64} if text else {}
    model = {"embed_dim": features, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    assert config_from_openclip({"model_cfg": model}, origin="x") == published_config(name)


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("model_cfg", {"custom_text": True}, "model_cfg has .*custom_text = True"),
        ("model_cfg", {"embed_dim": None}, "embed_dim is None"),
        ("model_cfg", {"text_cfg": None}, "no text_cfg"),
        ("vision_cfg", {"timm_model_name": "vit_x"}, "vision_cfg has .*timm_model_name = 'vit_x'"),
        ("vision_cfg", {"pool_type": "avg"}, "pool_type = 'avg'"),
        ("vision_cfg", {"image_size": [16, 24]}, r"image_size is \[16, 24\]"),
        ("vision_cfg", {"patch_size": 7}, "16 is not a multiple of patch_size 7"),
        ("text_cfg", {"hf_tokenizer_name": "other"}, "hf_tokenizer_name = 'other'"),
        ("text_cfg", {"no_causal_mask": True}, "no_causal_mask = True"),
        ("preprocess_cfg", {"mean": [0.5, 0.5, 0.5]}, "mean of the pixels is .*only CLIP's own"),
    ],
)
def test_what_would_change_the_model_is_refused(part, change, named):
    config = described()
    model = config["model_cfg"]
    {**config, **model}[part].update(change)
    with pytest.raises(WeightsError, match=f"^here.json: .*{named}"):
        config_from_openclip(config, origin="here.json")


def test_options_without_influence_are_accepted():
    config = described(custom_text=False, init_logit_scale=2.6)
    config["model_cfg"]["vision_cfg"] |= {"patch_dropout": 0.5, "pool_type": "tok"}
    config["preprocess_cfg"] |= {"interpolation": "bicubic", "resize_mode": "shortest"}
    assert config_from_openclip(config, origin="x") == CONFIGS["vit"]


def test_a_wide_tower_needs_its_config(tmp_path):
    write(tmp_path)
    tensors = load_file(tmp_path / "open_clip_model.safetensors")
    tensors["visual.conv1.weight"] = np.zeros((1280, 3, 8, 8), np.float32)
    save_file(tensors, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(WeightsError, match="width 1280; put open_clip_config.json"):
        load_openclip(tmp_path)


def test_another_tokenizer_is_refused(tmp_path):
    write(tmp_path, config=described())
    (tmp_path / "vocab.json").unlink()  # what is left is OpenAI's
    with pytest.raises(WeightsError, match=f"end token is {VOCAB - 1}.*tokenizer's is 49407"):
        load_openclip(tmp_path)


def test_a_missing_file_and_wrong_tensors_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no open_clip_model.safetensors or model.safetensors"):
        load_openclip(tmp_path)
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        load_openclip(tmp_path / "nowhere")
    config = described()
    config["model_cfg"]["embed_dim"] = 24
    with pytest.raises(WeightsError, match=r"text_projection has shape \(64, 20\).*visual.proj"):
        load_openclip(write(tmp_path, config=config))
