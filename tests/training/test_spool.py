"""Numbers and traces of a run whose work folder is on gs://, with an emulator of Cloud Storage."""

import json
import socket
import uuid

import jax.numpy as jnp
import pytest

from mdmf_jax import files
from mdmf_jax.report.events import read_curves
from mdmf_jax.training.profile import StepProfile
from mdmf_jax.training.scalars import ScalarWriter
from mdmf_jax.training.spool import Spool


@pytest.fixture(scope="module")
def emulator():
    server = pytest.importorskip("gcp_storage_emulator.server")
    pytest.importorskip("gcsfs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = server.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    running.start()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def run(emulator, monkeypatch):
    """A new work folder on gs://."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    return files.path(f"gs://bucket/{uuid.uuid4().hex}")


def steps(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["kind"]) for line in map(json.loads, lines)]


def test_metrics_arrive_with_each_validation_and_go_on(run):
    first = ScalarWriter(run)
    first.write("train", 1, {"loss": 1.0})
    assert not (run / "metrics.jsonl").exists()
    first.write("validation", 1, {"accuracy": 0.5})
    assert steps(run) == [(1, "train"), (1, "validation")]
    first.write("train", 2, {"loss": 2.0})
    first.close()
    assert steps(run)[-1] == (2, "train")
    second = ScalarWriter(run, start=1)
    second.write("train", 2, {"loss": 3.0})
    second.close()
    assert steps(run) == [(1, "train"), (1, "validation"), (2, "train")]
    assert read_curves(run)["train/loss"] == [(1, 1.0), (2, 3.0)]
    assert any(path.name.startswith("events") for path in (run / "tensorboard").iterdir())


def test_a_trace_arrives(run):
    with StepProfile(run / "profile", 1, 1, 1) as profile:
        profile.before(1)
        assert str(run / "profile") in profile.after(1, jnp.zeros(()))
    assert list((run / "profile").glob("plugins/profile/*/*.xplane.pb"))


def test_on_a_disk_the_folder_is_the_folder(tmp_path):
    spool = Spool(tmp_path, ("a",))
    assert spool.folder == tmp_path
    (tmp_path / "b").write_text("b")
    spool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
