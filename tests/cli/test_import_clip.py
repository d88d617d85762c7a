"""CLIPs of every layout become folders that this program reads."""

import re
import shutil

import jax
import numpy as np
import pytest
from published_names import random_tensors, shapes
from safetensors.numpy import load_file, save_file
from torch_writer import STORAGES, mapping, name, program, tensor, text, write_state_dict, write_zip

from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer
from mdmf_jax.weights import archives
from mdmf_jax.weights.huggingface import load_clip
from mdmf_jax.weights.pretrained import load_pretrained

# Sizes of the published ViT-B/16, and those of a small one with the same tokens.
SMALL = {768: 128, 2304: 384, 3072: 512, 512: 64, 1536: 192, 2048: 256, 197: 5, 16: 8}


@pytest.fixture(scope="module")
def openai_tensors():
    """A small CLIP of two layers under OpenAI's names, with OpenAI's number of tokens."""
    small = {
        label: tuple(SMALL.get(size, size) for size in shape)
        for label, shape in shapes("clip_vitb16").items()
        if not re.search(r"resblocks\.([2-9]|1\d)\.", label)
    }
    return random_tensors(small)


def check_openai(folder, tensors, activation):
    """The folder holds these tensors, OpenAI's vocabulary and this activation."""
    clip = load_clip(folder)
    assert clip.config.text.hidden_act == clip.config.vision.hidden_act == activation
    words = ["Moving left, then spinning!"]
    np.testing.assert_array_equal(clip.tokenizer(words, 12)[:, :8], Tokenizer.openai()(words, 8))
    layer = clip.params["vision_model"]["encoder"]["layers"]["1"]["self_attn"]
    packed = tensors["visual.transformer.resblocks.1.attn.in_proj_weight"]
    width = len(packed) // 3
    np.testing.assert_array_equal(layer["k_proj"]["kernel"], packed[width : 2 * width].T)
    embedding = clip.params["text_model"]["embeddings"]["token_embedding"]["embedding"]
    np.testing.assert_array_equal(embedding, tensors["token_embedding.weight"])


def write_torchscript(path, tensors):
    """An archive of nested modules, as OpenAI publishes its CLIPs."""
    tree, storages = {}, {}
    for i, (label, array) in enumerate(tensors.items()):
        *modules, last = label.split(".")
        inner = tree
        for module in modules:
            inner = inner.setdefault(module, {})
        strides = [s // array.itemsize for s in array.strides]
        kind = STORAGES[array.dtype.name]
        inner[last] = tensor(str(i), kind, array.size, 0, array.shape, strides)
        storages[str(i)] = array.tobytes()

    def module(members) -> bytes:
        content = text("training") + b"\x89"
        for key, value in members.items():
            content += text(key) + (module(value) if isinstance(value, dict) else value)
        return name("__torch__.model", "M") + b")\x81}(" + content + b"ub"

    constants = {"constants.pkl": b"\x80\x02)."}
    return write_zip(path, program(module(tree)), storages, **constants)


def test_openai_archive(command, openai_tensors, tmp_path):
    numbers = dict(input_resolution=32, context_length=77, vocab_size=49408)
    whole = openai_tensors | {key: np.array(value) for key, value in numbers.items()}
    path = write_torchscript(tmp_path / "ViT.pt", whole)
    assert "CLIP of OpenAI" in command("import", path, tmp_path / "clip")
    check_openai(tmp_path / "clip", openai_tensors, "quick_gelu")


def test_openai_archive_by_its_name(openai_tensors, tmp_path, monkeypatch):
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path))
    numbers = dict(input_resolution=32, context_length=77, vocab_size=49408)
    place = archives.place_of("vit_b16")
    place.parent.mkdir()
    write_torchscript(place, openai_tensors | {key: np.array(x) for key, x in numbers.items()})
    found = archives.ARCHIVES["vit_b16"]._replace(size=place.stat().st_size)
    monkeypatch.setitem(archives.ARCHIVES, "vit_b16", found)
    clip = load_pretrained("clip", "ViT-B/16")
    assert clip.config.vision.hidden_act == "quick_gelu"
    np.testing.assert_array_equal(
        clip.params["text_projection"]["kernel"], openai_tensors["text_projection"]
    )


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_openai_state_dict(command, openai_tensors, tmp_path, activation):
    half = {f"module.{n}": x.astype(np.float16) for n, x in openai_tensors.items()}
    path = write_state_dict(tmp_path / "x.pt", half, "state_dict")
    command("import", path, tmp_path / "clip", f"--activation={activation}")
    rounded = {n: x.astype(np.float16) for n, x in openai_tensors.items()}
    check_openai(tmp_path / "clip", rounded, activation)


def test_open_clip_file(command, openai_tensors, tmp_path):
    path = tmp_path / "open_clip_model.safetensors"
    save_file(openai_tensors, path)
    assert "CLIP of open_clip" in command("import", path, tmp_path / "clip")
    check_openai(tmp_path / "clip", openai_tensors, "gelu")


def check_same(folder, original):
    found, wanted = load_clip(folder), load_clip(original)
    assert found.config == wanted.config
    assert found.tokenizer.vocab == wanted.tokenizer.vocab
    jax.tree.map(np.testing.assert_array_equal, found.params, wanted.params)


def test_huggingface_folder(command, clip_folder, tmp_path):
    (tmp_path / "clip").mkdir()  # an empty folder may exist
    printed = command("import", clip_folder, tmp_path / "clip")
    assert "Hugging Face" in printed and f"--config.encoder.path={tmp_path}/clip" in printed
    check_same(tmp_path / "clip", clip_folder)


def test_huggingface_folder_with_pickled_weights(command, clip_folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(clip_folder, source)
    tensors = load_file(source / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = np.arange(77)[None]
    write_state_dict(source / "pytorch_model.bin", tensors)
    (source / "model.safetensors").unlink()
    command("import", source, tmp_path / "clip")
    check_same(tmp_path / "clip", clip_folder)


def test_mistakes(fails, openai_tensors, clip_folder, tmp_path):
    folder, path = tmp_path / "clip", tmp_path / "x.pt"
    write_state_dict(path, openai_tensors)
    assert "add --activation=quick_gelu" in fails("import", path, folder)
    assert "SOURCE is a CLIP" in fails("import", clip_folder, folder, "--encoder=x")
    said = fails("import", clip_folder, folder, "--config.seed=3")
    assert said == "--config.seed=3 is for checkpoints of a method, but SOURCE is a CLIP"
    assert "says its activation" in fails("import", clip_folder, folder, "--activation=gelu")
    assert "no config.json" in fails("import", tmp_path, folder)
    weights = clip_folder / "model.safetensors"
    assert "give the folder with its config.json" in fails("import", weights, folder)
    small = openai_tensors | {"token_embedding.weight": np.zeros((600, 64), np.float32)}
    write_state_dict(path, small)
    assert "knows 600 tokens" in fails("import", path, folder, "--activation=gelu")
    unknown = mapping({"a\x1b[2J": tensor("0", "FloatStorage", 1, 0, (1,), (1,))})
    write_zip(path, program(unknown), {"0": bytes(4)})
    assert r"'a\x1b[2J' is not a name of a tensor" in fails("import", path, folder)
    assert not folder.exists()
    assert "cannot be written" in fails("import", clip_folder, path / "clip")


def test_a_clip_for_images_of_another_size(command, clip_folder, tmp_path):
    command("import", clip_folder, tmp_path / "clip", "--image-size=32")
    before, after = load_clip(clip_folder), load_clip(tmp_path / "clip")
    assert after.config.vision.image_size == 32
    names = ("vision_model", "embeddings", "position_embedding", "embedding")
    one, other = before.params, after.params
    for branch in names:
        one, other = one[branch], other[branch]
    assert one.shape == (5, 16) and other.shape == (17, 16)
    np.testing.assert_array_equal(one[0], other[0])  # the class token's stands for no place
    # Interpolated in between: the mean of the grid stays, its corners come from the corners.
    np.testing.assert_allclose(one[1:].mean(0), other[1:].mean(0), atol=1e-6)
    kernel = "visual_projection", "kernel"
    for tree in (before.params, after.params):
        assert tree[kernel[0]][kernel[1]].shape == (16, 16)
