"""OpenAI's archives from a server on this machine: whole, interrupted, wrong, absent."""

import threading
from itertools import repeat

import numpy as np
import pytest
from weight_servers import Server, serving, sha256

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.weights import archives, download
from mdmf_jax.weights.names import read_name

CONTENT = np.random.default_rng(0).bytes(50_000)
NAME = "vit_b16"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serves a small file as the archive of NAME."""
    archive = archives.ARCHIVES[NAME]._replace(sha256=sha256(CONTENT), size=len(CONTENT))
    monkeypatch.setitem(archives.ARCHIVES, NAME, archive)
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    path = f"/base/{archive.sha256}/{archive.file}"
    with serving(Server({path: CONTENT})) as made:
        monkeypatch.setenv(archives.VARIABLE, f"{made.address}/base/")
        made.path = path
        yield made


def test_the_table_is_that_of_openai():
    for name, archive in archives.ARCHIVES.items():
        assert read_name(archive.title) == read_name(name) == ("archive", name, "")
        assert len(archive.sha256) == 64 and archive.size > 2e8
    assert len({archive.sha256 for archive in archives.ARCHIVES.values()}) == 9
    assert archives.ARCHIVES["rn50"].sha256.startswith("afeb0e10f9e5a86d")


def test_whole(server):
    said = []
    place = archives.fetch(NAME, said.append)
    assert place.read_bytes() == CONTENT == archives.cached(NAME).read_bytes()
    assert len(said) == 1 and "licence MIT, 0.1 MB" in said[0] and server.address in said[0]
    assert archives.is_sound(NAME)
    assert archives.fetch(NAME, said.append) == place  # from the cache
    assert len(said) == 1 and len(server.asked) == 1
    assert sorted(path.name for path in place.parent.iterdir()) == [
        ".ViT-B-16.pt.lock",
        "ViT-B-16.pt",
    ]


def test_a_broken_connection_goes_on_by_itself(server):
    server.breaks = iter([0.5, 0.5])
    assert archives.fetch(NAME, print).read_bytes() == CONTENT
    ranges = [asked for _, _, asked in server.asked]
    assert ranges == [None, "bytes=25000-", "bytes=37500-"]


def test_interrupted_and_resumed_by_the_next_call(server):
    part = archives.place_of(NAME).with_name("ViT-B-16.pt.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:20_000])
    assert archives.cached(NAME) is None
    assert archives.fetch(NAME, print).read_bytes() == CONTENT
    assert [asked for _, _, asked in server.asked] == ["bytes=20000-"]
    assert not part.exists()


def test_a_server_without_ranges_sends_all_again(server):
    server.breaks, server.ranges = iter([0.5]), False
    assert archives.fetch(NAME, print).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_connection_that_brings_nothing_more(server):
    part = archives.place_of(NAME).with_name("ViT-B-16.pt.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:20_000])
    server.breaks = repeat(0.0)
    with pytest.raises(WeightsError, match="breaks off after 20000 of 50000 bytes; call again"):
        archives.fetch(NAME, print)
    assert len(server.asked) == download.ATTEMPTS
    server.breaks = iter(())
    assert archives.fetch(NAME, print).read_bytes() == CONTENT


@pytest.mark.parametrize("start", [0, 20_000, 50_000, 60_000])
def test_a_wrong_content_is_deleted(server, start):
    place = archives.place_of(NAME)
    part = place.with_name("ViT-B-16.pt.part")
    part.parent.mkdir(parents=True)
    part.write_bytes((CONTENT[: start - 1] + b"x" if start else b"") + CONTENT[50_000:])
    if start == 60_000:  # longer than the file: not its beginning, so it is begun anew
        part.write_bytes(CONTENT + bytes(10_000))
        assert archives.fetch(NAME, print).read_bytes() == CONTENT
        return
    changed = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    server.contents[server.path] = changed
    with pytest.raises(WeightsError, match="has SHA-256 .* instead of .* was deleted; try again"):
        archives.fetch(NAME, print)
    assert not place.exists() and not part.exists()
    server.contents[server.path] = CONTENT
    assert archives.fetch(NAME, print).read_bytes() == CONTENT


def test_another_size_is_refused_before_it_is_read(server):
    server.contents[server.path] = CONTENT * 2
    with pytest.raises(WeightsError, match="has 100000 bytes instead of 50000"):
        archives.fetch(NAME, print)
    assert archives.cached(NAME) is None


def offline_message(match):
    with pytest.raises(WeightsError, match=match) as caught:
        archives.fetch(NAME, print)
    message = str(caught.value)
    for part in ("ViT-B-16.pt (50000 bytes", sha256(CONTENT), str(archives.place_of(NAME))):
        assert part in message
    assert "--encoder=FILE (--config.encoder.path=FILE)" in message


def test_offline_says_what_to_bring_and_where_to(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline_message("HF_HUB_OFFLINE forbids")
    assert not server.asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv(archives.VARIABLE, "http://127.0.0.1:1")  # nobody listens there
    offline_message("cannot be reached")
    monkeypatch.setenv(archives.VARIABLE, f"{server.address}/elsewhere")
    offline_message("the server answers 404 Not Found")
    place = archives.place_of(NAME)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(CONTENT)  # brought by hand
    assert archives.fetch(NAME, print) == place


def test_only_encrypted_addresses(server, monkeypatch):
    for address in ("http://example.org/x", "ftp://example.org", "file:///etc"):
        monkeypatch.setenv(archives.VARIABLE, address)
        with pytest.raises(WeightsError, match="https"):
            archives.fetch(NAME, print)


def test_two_at_once_fetch_it_once(server):
    threads = [threading.Thread(target=archives.fetch, args=(NAME, str)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert archives.cached(NAME).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_pin_is_the_known_sha256():
    sha256 = archives.ARCHIVES["rn50"].sha256
    assert archives.pinned("rn50") == archives.pinned("rn50", sha256) == f"rn50@{sha256}"
    with pytest.raises(ConfigError, match="rn50@main: the archive that this program knows is"):
        archives.pinned("rn50", "main")
