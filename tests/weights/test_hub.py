"""CLIPs of the hub, from a server on this machine that answers as the hub does."""

import json
from itertools import chain, repeat
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, hf_hub_download
from safetensors.numpy import load_file
from torch_writer import write_state_dict
from weight_servers import Hub, contents_of, serving

from mdmf_jax.errors import WeightsError
from mdmf_jax.weights import hub, hub_cache
from mdmf_jax.weights.hub_files import choose
from mdmf_jax.weights.pretrained import load_pretrained, pinned

NAME = "people/tiny-clip"
CLIP = ("config.json", "model.safetensors", "vocab.json", "merges.txt", "special_tokens_map.json")


@pytest.fixture
def server(monkeypatch, tmp_path, clip_folder):
    """A hub with one CLIP; its cache is empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    # The library keeps what came in pieces of 10 MB, which tiny files do not have.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = Hub()
    made.first = made.add(NAME, contents_of(clip_folder) | {"README.md": b"x", "run.py": b"evil"})
    with serving(made):
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        yield made


def fetched_files(server):
    return [path.split("/")[-1] for method, path, _ in server.asked if method == "GET"]


def test_whole(server, clip_folder):
    said = []
    place, commit = hub.fetch(NAME, say=said.append)
    assert commit == server.first and place.name == commit
    assert contents_of(place) == {name: (clip_folder / name).read_bytes() for name in CLIP}
    assert f"fetching {NAME} at {commit}: licence mit, 5 files, 0.1 MB" in said[0]
    assert "run.py" not in fetched_files(server) and "README.md" not in fetched_files(server)
    before = len(server.asked)
    assert hub.fetch(NAME, say=said.append) == (place, commit)  # from the cache: nobody is asked
    assert len(server.asked) == before and len(said) == 1
    assert hub_cache.unsound(place) == []
    assert list(hub_cache.all_cached()) == [(NAME, (place, commit))]


def test_a_branch_is_resolved_once_and_recorded(server, clip_folder):
    name = pinned(NAME)
    assert name == f"{NAME}@{server.first}"
    config = json.loads((clip_folder / "config.json").read_text()) | {"new": 1}
    second = server.add(
        NAME, contents_of(clip_folder) | {"config.json": json.dumps(config).encode()}
    )
    assert pinned(NAME) == pinned(f"{NAME}@main") == name  # the cache answers
    assert hub.fetch(NAME, server.first).commit == server.first
    assert hub.fetch(NAME, say=print, refresh=True).commit == second
    assert pinned(NAME) == f"{NAME}@{second}"
    assert pinned(name) == name
    assert hub.fetch(NAME, server.first).commit == server.first
    assert len(list(hub_cache.all_cached())) == 2
    # What did not change is not fetched again.
    assert fetched_files(server).count("model.safetensors") == 1


def test_the_cache_of_the_hub_is_shared(server):
    for name in CLIP:
        path = hf_hub_download(NAME, name, endpoint=server.address)
    before = len(server.asked)
    assert hub.fetch(NAME) == (Path(path).parent, server.first)
    assert len(server.asked) == before


def test_a_broken_connection_goes_on_by_itself(server, clip_folder):
    server.breaks = iter([0.5, 0.5])
    place, _ = hub.fetch(NAME, say=print)
    assert contents_of(place) == {name: (clip_folder / name).read_bytes() for name in CLIP}
    assert len([asked for _, _, asked in server.asked if asked and asked != "bytes=0-"]) >= 2


def test_interrupted_and_resumed_by_the_next_call(server, clip_folder):
    server.breaks = chain([0.5], repeat(0.0))
    with pytest.raises(WeightsError, match="broke off .*; call again to go on, or on a machine"):
        hub.fetch(NAME, say=print)
    assert hub.cached(NAME) is None and list(hub_cache.all_cached()) == []
    server.breaks, server.asked = iter(()), []
    place, _ = hub.fetch(NAME, say=print)
    assert contents_of(place) == {name: (clip_folder / name).read_bytes() for name in CLIP}
    if int(huggingface_hub.__version__.split(".")[0]) < 1:  # newer ones begin the file anew
        ranges = [asked for _, path, asked in server.asked if path.endswith("model.safetensors")]
        assert int(ranges[-1].removeprefix("bytes=").split("-")[0]) > 1000


def test_stopped_between_two_files(server):
    server.tampered = {"merges.txt"}
    with pytest.raises(WeightsError, match="merges.txt is not what the hub says"):
        hub.fetch(NAME, say=print)
    assert hub.cached(NAME) is None and list(hub_cache.all_cached()) == []
    server.tampered, server.asked = set(), []
    hub.fetch(NAME, say=print)
    assert "model.safetensors" not in fetched_files(server)
    assert "merges.txt" in fetched_files(server)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_wrong_content_is_deleted(server, file):
    server.tampered = {file}
    with pytest.raises(WeightsError, match=f"{file} is not what the hub says it is .*try again"):
        hub.fetch(NAME, say=print)
    assert hub.cached(NAME) is None
    server.tampered = set()
    assert hub_cache.unsound(hub.fetch(NAME, say=print).place) == []


def test_offline_says_what_to_bring(server, monkeypatch):
    def message(match):
        with pytest.raises(WeightsError, match=match) as caught:
            hub.fetch(NAME, say=print)
        for part in (
            f"mdmf weights fetch {NAME} --out=DIR",
            "--encoder=DIR (--config.encoder.path=DIR)",
            "config.json, model.safetensors (or pytorch_model.bin), vocab.json and merges.txt",
        ):
            assert part in str(caught.value)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message("HF_HUB_OFFLINE forbids")
    assert not server.asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # nobody listens there
    message("http://127.0.0.1:1 cannot be reached or broke off .*Connection refused")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    place, commit = hub.fetch(NAME, say=print)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.fetch(NAME) == hub.fetch(NAME, commit) == (place, commit)


def test_unknown_names_and_revisions(server):
    with pytest.raises(WeightsError, match="people/other: no such folder here, and http.* has no"):
        hub.fetch("people/other", say=print)
    with pytest.raises(WeightsError, match=f"{NAME}: has no revision 'v9'"):
        hub.fetch(NAME, "v9", say=print)
    with pytest.raises(WeightsError, match="has no revision"):
        hub.fetch(NAME, "0" * 40, say=print)
    assert list(hub_cache.all_cached()) == []
    server.gated.add(NAME)
    with pytest.raises(WeightsError, match=f"{NAME}: its owner asks for consent first; give it"):
        hub.fetch(NAME, say=print)


def test_a_commit_that_leads_elsewhere_is_refused(server, tmp_path):
    server.models[NAME]["../../../evil"] = server.models[NAME][server.first]
    with pytest.raises(WeightsError, match="names no commit but '../../../evil'"):
        hub.fetch(NAME, say=print)
    assert not (tmp_path / "hub").exists()


def test_another_commit_than_the_pinned_one_is_refused(server, clip_folder):
    second = server.add(NAME, contents_of(clip_folder))
    server.always = server.first
    with pytest.raises(WeightsError, match=f"answers with {server.first} instead of {second}"):
        hub.fetch(NAME, second, say=print)


def test_what_is_deleted_lies_in_the_cache(server, tmp_path):
    place, _ = hub.fetch(NAME, say=print)
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(b"mine")
    (place / "model.safetensors").unlink()
    (place / "model.safetensors").symlink_to(mine)
    assert hub_cache.unsound(place) == [place / "model.safetensors"]
    hub_cache.remove(place / "model.safetensors")
    assert mine.exists() and not (place / "model.safetensors").is_symlink()


def test_other_models_are_refused_before_their_weights(server, clip_folder, monkeypatch):
    content = contents_of(clip_folder)
    server.add("people/siglip", content | {"config.json": b'{"model_type": "siglip"}'})
    with pytest.raises(WeightsError, match="a model of the kind 'siglip', not a CLIP"):
        hub.fetch("people/siglip", say=print)
    server.add("people/keras", {"config.json": content["config.json"], "tf_model.h5": b"x"})
    with pytest.raises(WeightsError, match="does not hold the files of a CLIP .*tf_model.h5"):
        hub.fetch("people/keras", say=print)
    assert "model.safetensors" not in fetched_files(server)
    monkeypatch.setattr(hub, "MOST_BYTES", 1000)
    with pytest.raises(WeightsError, match="model.safetensors has .* bytes, at most 1000 are"):
        hub.fetch(NAME, say=print)
    monkeypatch.setattr(hub, "_MOST_TEXT", 100)
    with pytest.raises(WeightsError, match="config.json has .* bytes, at most 100 are"):
        hub.fetch(NAME, say=print)


def test_damage_in_the_cache_is_found(server):
    place, _ = hub.fetch(NAME, say=print)
    weights = (place / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (place / "merges.txt").resolve().write_bytes(b"#version: 0.3\n")
    assert [path.name for path in hub_cache.unsound(place)] == ["merges.txt", "model.safetensors"]
    (place / "config.json").resolve().write_bytes(b"{")
    assert list(hub_cache.all_cached()) == []  # and no error: others may use the cache


def same_params(found, folder):
    want = load_pretrained("clip", folder).params
    assert np.array_equal(
        found.params["text_projection"]["kernel"], want["text_projection"]["kernel"]
    )
    assert found.params.keys() == want.keys()


def test_loaded_from_safetensors_and_from_a_state_dict(server, clip_folder, tmp_path):
    same_params(load_pretrained("clip", NAME), clip_folder)
    content = contents_of(clip_folder)
    tensors = load_file(clip_folder / "model.safetensors")
    content["pytorch_model.bin"] = write_state_dict(tmp_path / "x.bin", tensors).read_bytes()
    del content["model.safetensors"]
    commit = server.add("people/old", content)
    same_params(load_pretrained("clip", f"people/old@{commit}"), clip_folder)


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ({*CLIP, "pytorch_model.bin", "flax_model.msgpack", "README.md"}, set(CLIP)),
        ({"config.json", "pytorch_model.bin", "tokenizer.json", "x.py"}, None),
        (
            {
                "config.json",
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "tokenizer.json",
            },
            None,
        ),
        ({"open_clip_config.json", "open_clip_model.safetensors"}, None),
    ],
)
def test_only_known_files_are_chosen(names, taken):
    chosen = choose(names)
    assert set(chosen.names) == (taken or names - {"x.py"}) and chosen.names[0] == chosen.config


@pytest.mark.parametrize(
    "names",
    [
        set(),
        {"config.json", "model.safetensors"},
        {"config.json", "vocab.json", "merges.txt", "tf_model.h5"},
        {"config.json", "tokenizer.json", "model.safetensors.index.json"},
        {
            "config.json",
            "tokenizer.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
        },
        {"config.json", "vocab.json", "merges.txt", "sub/model.safetensors"},
        {"open_clip_config.json", "open_clip_pytorch_model.bin"},
    ],
)
def test_what_is_not_a_whole_clip(names):
    assert choose(names) is None
