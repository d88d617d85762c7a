"""The shards that Apache Beam writes are those of the local program."""

import hashlib

import made_videos as made
import pytest

from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.run import prepare
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.errors import ConfigError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("beam")
    for number in range(5):
        made.write(root / "test" / "class" / f"{number}.mp4", made.pictures(3, first=number))
    (root / "test" / "class" / "text.mp4").write_text("no video")
    return root


def run(root, out, beam):
    split = load_split(root, "", "test")
    return prepare(root, [split], out, images=Images(24), limits=Limits(max_frames=300),
                   shard_videos=2, max_failed=0.2, beam=beam)  # fmt: skip


def checksums(out):
    files = out.glob("prepared_videos/1.0.0/*array_record*")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.filterwarnings("default")  # Beam's own
def test_same_shards_with_the_direct_runner(root, tmp_path):
    pytest.importorskip("apache_beam")
    local = run(root, tmp_path / "local", None)
    beam = run(root, tmp_path / "beam", ["--runner=DirectRunner"])
    assert local.failures == beam.failures and local.good == beam.good == [[5]]
    assert len(checksums(tmp_path / "local")) == 3
    assert checksums(tmp_path / "beam") == checksums(tmp_path / "local")
    for name in ("test.index.json", "failed.csv"):
        assert (tmp_path / "beam" / name).read_text() == (tmp_path / "local" / name).read_text()


def test_beam_is_missing(root, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    monkeypatch.setitem(__import__("sys").modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(ConfigError, match="--beam needs Apache Beam"):
        run(root, tmp_path / "out", [])
