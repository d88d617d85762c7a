import json
import warnings

import jax
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from mdmf_jax.errors import WeightsError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer, build_vocab
from mdmf_jax.weights.huggingface import load_clip, save_clip, template

MERGES = [("c", "a"), ("ca", "t</w>")]
TOKENIZER = Tokenizer(build_vocab(MERGES), MERGES)
VOCAB = len(TOKENIZER.vocab)
CONFIG = CLIPConfig(
    VisionConfig(32, 48, 2, 4, "gelu", 1e-5, image_size=16, patch_size=8),
    TextConfig(16, 40, 3, 2, "gelu", 1e-5, VOCAB, 12, VOCAB - 1),
    20,
)

RESNET = CLIPConfig(ResNetConfig((1, 2, 1, 1), 2, 4, 32), CONFIG.text, 20)


def random_params(seed=0, config=CONFIG) -> dict:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), template(config))


def same(left: dict, right: dict) -> bool:
    left, right = flatten_dict(left, sep="/"), flatten_dict(right, sep="/")
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@pytest.fixture
def folder(tmp_path):
    save_clip(tmp_path, CONFIG, random_params(), TOKENIZER)
    return tmp_path


def test_what_is_saved_is_read_back(folder):
    loaded = load_clip(folder)
    assert loaded.config == CONFIG
    assert same(loaded.params, random_params())
    assert loaded.tokenizer(["cat"], 4).tolist() == [[VOCAB - 2, 513, VOCAB - 1, VOCAB - 1]]


def test_half_precision_is_stored_and_read_as_float32(tmp_path):
    save_clip(tmp_path, CONFIG, random_params(), TOKENIZER, dtype=np.float16)
    assert {x.dtype for x in load_file(tmp_path / "model.safetensors").values()} == {
        np.dtype(np.float16)
    }
    loaded = load_clip(tmp_path).params
    assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
    rounded = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), random_params())
    assert same(loaded, rounded)


def test_bfloat16_files_are_read(folder):
    tensors = load_file(folder / "model.safetensors")
    half = {name: x.astype(ml_dtypes.bfloat16) for name, x in tensors.items()}
    save_file(half, folder / "model.safetensors")
    rounded = jax.tree.map(
        lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32), random_params()
    )
    assert same(load_clip(folder).params, rounded)


@pytest.mark.slow
def test_transformers_reads_our_folder_and_computes_the_same(folder):
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxCLIPModel"):
        pytest.skip("this transformers has no Flax models")
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.FlaxCLIPModel.from_pretrained(folder)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    texts = ["cat", "a cat, a dog"]
    batch = tokenizer(texts, padding="max_length", max_length=12, return_tensors="np")
    expected = model(batch["input_ids"], pixels.transpose(0, 3, 1, 2), batch["attention_mask"])
    config, params, ours = load_clip(folder)
    logits = CLIP(config).apply({"params": params}, pixels, ours(texts, 12))
    np.testing.assert_allclose(logits, expected.logits_per_image, rtol=1e-4, atol=1e-5)


def test_shards_and_position_ids(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = np.arange(12)[None]
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    where = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for shard in set(where.values()):
        save_file({n: tensors[n] for n in names if where[n] == shard}, folder / shard)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(load_clip(folder).params, random_params())
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match="model-00002-of-00002.safetensors: no such file"):
        load_clip(folder)


def test_all_wrong_tensors_are_named(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    del tensors["vision_model.encoder.layers.1.mlp.fc1.bias"]
    tensors["visual_projection.weight"] = np.zeros((20, 33), np.float32)
    tensors["vision_model.encoder.layers.2.mlp.fc1.bias"] = np.zeros(48, np.float32)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_clip(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).removeprefix(f"{folder}: ").split("; ") == [
        "unknown tensor vision_model.encoder.layers.2.mlp.fc1.bias",
        "tensor visual_projection.weight has shape (20, 33), expected (20, 32)",
        "missing tensor text_projection.weight",
        "missing tensor vision_model.encoder.layers.1.mlp.fc1.bias",
    ]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "merges.txt"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        load_clip(folder)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("config.json", "{", "config.json: not valid JSON"),
        ("config.json", "[1]", "config.json: expected a JSON object"),
        ("config.json", '{"model_type": "bert"}', "config.json: .*'bert'"),
        ("model.safetensors", "garbage", "model.safetensors: not a safetensors file"),
    ],
)
def test_a_broken_file_is_named(folder, name, content, named):
    (folder / name).write_text(content)
    with pytest.raises(WeightsError, match=named):
        load_clip(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nowhere: no such folder"):
        load_clip(tmp_path / "nowhere")


def test_parameters_of_another_model_are_not_saved(tmp_path):
    params = random_params()
    params["visual_projection"]["kernel"] = np.zeros((32, 21), np.float32)
    del params["logit_scale"]
    with pytest.raises(WeightsError, match=r"visual_projection.*\(21, 32\).*logit_scale"):
        save_clip(tmp_path / "out", CONFIG, params, TOKENIZER)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def resnet_folder(tmp_path):
    save_clip(tmp_path, RESNET, random_params(config=RESNET), TOKENIZER)
    return tmp_path


def test_a_resnet_that_is_saved_is_read_back(resnet_folder):
    loaded = load_clip(resnet_folder)
    assert loaded.config == RESNET
    assert same(loaded.params, random_params(config=RESNET))
    assert loaded.tokenizer(["cat"], 3).tolist() == TOKENIZER(["cat"], 3).tolist()


def test_files_of_a_resnet(resnet_folder):
    """Sizes and tensors are written as documented: the image tower as OpenAI names it."""
    described = json.loads((resnet_folder / "config.json").read_text())
    sizes = {"layers": [1, 2, 1, 1], "width": 2, "heads": 4, "image_size": 32}
    assert described["vision_config"] == {"model_type": "clip_resnet"} | sizes
    assert described["text_config"]["hidden_act"] == "gelu"
    tensors, params = load_file(resnet_folder / "model.safetensors"), random_params(config=RESNET)
    starts = ("visual.", "text_model.", "text_projection.weight", "logit_scale")
    assert all(name.startswith(starts) for name in tensors)
    block = params["vision_model"]["layer2"]["1"]
    kernel = tensors["visual.layer2.1.conv2.weight"]
    assert np.array_equal(kernel, block["conv2"]["kernel"].transpose(3, 2, 0, 1))
    assert np.array_equal(tensors["visual.layer2.1.bn3.running_var"], block["bn3"]["var"])
    projection = params["visual_projection"]["kernel"]
    assert np.array_equal(tensors["visual.attnpool.c_proj.weight"], projection.T)


def test_wrong_tensors_of_a_resnet_are_named(resnet_folder):
    tensors = load_file(resnet_folder / "model.safetensors")
    del tensors["visual.bn1.running_var"]
    del tensors["text_model.final_layer_norm.bias"]
    tensors["visual.layer2.0.conv2.weight"] = np.zeros((4, 4, 3, 1), np.float32)
    tensors["visual_projection.weight"] = np.zeros((20, 64), np.float32)
    save_file(tensors, resnet_folder / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_clip(resnet_folder)
    assert str(caught.value).removeprefix(f"{resnet_folder}: ").split("; ") == [
        "tensor visual.layer2.0.conv2.weight has shape (4, 4, 3, 1), expected (4, 4, 3, 3)",
        "unknown tensor visual_projection.weight",
        "missing tensor text_model.final_layer_norm.bias",
        "missing tensor visual.bn1.running_var",
    ]


def test_parameters_of_another_resnet_are_not_saved(tmp_path):
    params = random_params(config=RESNET)
    del params["vision_model"]["layer2"]["1"]
    with pytest.raises(WeightsError, match=r"missing tensor visual.layer2.1.bn1.bias"):
        save_clip(tmp_path / "out", RESNET, params, TOKENIZER)
    with pytest.raises(WeightsError, match="unknown tensor|no place in the table"):
        save_clip(tmp_path / "out", RESNET, random_params(), TOKENIZER)
    assert not (tmp_path / "out").exists()


def test_transformers_refuses_a_resnet(resnet_folder):
    """It must not make up an image tower of random numbers instead."""
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxCLIPModel"):
        pytest.skip("this transformers has no Flax models")
    with warnings.catch_warnings(), pytest.raises((OSError, ValueError), match="metadata"):
        warnings.simplefilter("ignore")
        transformers.FlaxCLIPModel.from_pretrained(resnet_folder)
