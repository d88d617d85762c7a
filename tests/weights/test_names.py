"""One rule says what the name of an encoder means."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdmf_jax.weights import hub_cache
from mdmf_jax.weights.names import read_name, unknown

COMMIT = "57c216476eefef5ab752ec549e440a49ae4ae5f3"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("packaged:demo", ("packaged", "packaged:demo", "")),
        ("vit_b16", ("archive", "vit_b16", "")),
        ("ViT-B/16", ("archive", "vit_b16", "")),
        ("RN50x4", ("archive", "rn50x4", "")),
        ("rn50@abc", ("archive", "rn50", "abc")),
        ("openai/clip-vit-base-patch16", ("hub", "openai/clip-vit-base-patch16", "")),
        (f"o/c@{COMMIT}", ("hub", "o/c", COMMIT)),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K@refs/pr/3", None),
        ("a/b.c_d-1@v1.0", ("hub", "a/b.c_d-1", "v1.0")),
    ],
)
def test_names(text, meaning):
    found = read_name(text)
    assert found == (meaning or ("hub", *text.split("@")))


@pytest.mark.parametrize(
    "text",
    ["/x/y", "./x/y", "../x", "~/x", "x", "x/y/z", "x/y/", "x/y.pt", "x/y.safetensors", "gs://b/x"]
    + ["a/..", "a/b..c", "../../etc/passwd", "a--b/c", "a/b.git", "a/-b", "a/b-", ".a/b", "a/b c"]
    + ["a/b@", "a/b@../x", "a/b@x..y", "a/b@-x", "a/b@x//y", "a/b@x y", "a\\b", "a/b\n", "ä/b"]
    + ["a/" + "b" * 97, "vit_b61", "", "@x", "a/b?x=1", "a/b%2e", "a/b#c", "http://x/y", "a/\0"],
)
def test_paths(text):
    assert read_name(text) == ("path", text, "")


PIECES = ("a", "B1", "a/b", "/", "@", ".", "..", "-", "--", "%2e", "?", "#", "\\", "\0", " ", "é")


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_no_name_leads_out_of_the_cache(text):
    found = read_name(text)
    if found.kind == "hub":
        folder = hub_cache.model_folder(found.name)
        assert folder.parent == hub_cache.cache_folder()
        refs = os.path.normpath(folder / "refs" / found.revision)
        assert Path(refs).is_relative_to(folder / "refs")
        assert quote(text, safe="/@") == text  # nothing that an address gives a meaning to


def test_what_lies_on_the_disk_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_name("runs/demo").kind == "hub"
    (tmp_path / "runs").mkdir()
    assert read_name("runs/demo").kind == "path"  # a mistyped folder is not asked for at the hub
    assert "write runs/demo@main, since a folder runs lies here" in unknown("runs/demo")
    assert read_name(f"runs/demo@{COMMIT}") == ("hub", "runs/demo", COMMIT)  # as settings keep it
    (tmp_path / "vit_b16").mkdir()
    assert read_name("vit_b16").kind == "path"
