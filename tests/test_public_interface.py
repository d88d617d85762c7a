"""What `import mdmf_jax` offers."""

import json
import shutil
import subprocess
import sys

import pytest

import mdmf_jax
from mdmf_jax.errors import CheckpointError, ConfigError

FRESH = """
import json, sys
import mdmf_jax
listed = sorted(set(mdmf_jax.__all__) - set(dir(mdmf_jax)))
early = sorted({"jax", "numpy", "flax", "tensorflow"} & set(sys.modules))
kinds = {name: type(getattr(mdmf_jax, name)).__name__ for name in mdmf_jax.__all__}
late = sorted({"tensorflow", "torch", "transformers"} & set(sys.modules))
print(json.dumps([listed, early, kinds, late]))
"""
KINDS = {
    "ENCODERS": "dict",
    "METHODS": "dict",
    "FewShotClassifier": "type",
    "FewShotModel": "type",
    "ModelSettings": "type",
    "__version__": "str",
    "evaluate": "function",
    "load": "function",
    "train": "function",
}


def test_every_name_is_there_and_loads_no_tensorflow(repository):
    done = subprocess.run(
        [sys.executable, "-c", FRESH], cwd=repository, capture_output=True, text=True, check=True
    )
    not_listed, early, kinds, late = json.loads(done.stdout)
    assert (not_listed, early, late) == ([], [], [])
    assert kinds == KINDS


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="'mdmf_jax' has no attribute 'FewShotClasifier'"):
        mdmf_jax.FewShotClasifier  # noqa: B018


def test_train_goes_on_and_evaluate_tests_it(settings, finished_run, tmp_path, capsys):
    """The finished run is of the same settings, so that `train` has nothing left to train."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    results = mdmf_jax.train(settings, folder, quiet=True)
    assert results["test"] == finished_run.results["test"]
    out = tmp_path / "public.json"
    tested = mdmf_jax.evaluate(folder, shot=2, episodes=20, out=out, quiet=True)
    expected = finished_run.results["test"]["2way_2shot"]
    assert {name: tested[name] for name in expected} == expected
    assert json.loads(out.read_text())["accuracy"] == expected["accuracy"]
    assert capsys.readouterr().out == ""


def test_configs_by_text(tmp_path):
    with pytest.raises(ConfigError, match="config 'dmeo' is unknown"):
        mdmf_jax.train("dmeo", tmp_path)
    with pytest.raises(ConfigError, match="train.steps is -1"):
        mdmf_jax.train("demo:train.steps=-1", tmp_path)
    with pytest.raises(CheckpointError, match="--checkpoint is missing"):
        mdmf_jax.evaluate(config="demo")


def test_load(finished_run, videos, tmp_path, monkeypatch):
    monkeypatch.chdir(finished_run.folder.parent)
    classifier = mdmf_jax.load(finished_run.folder.name)  # a relative path
    assert classifier.classes_ == []
    classifier.fit(videos / "test").save(tmp_path / "model")
    loaded = mdmf_jax.load(tmp_path / "model")
    assert loaded.classes_ == classifier.classes_ and len(loaded.classes_) == 3
    video = [videos / "test/test_red_box/0.mp4"]
    assert (loaded.predict_proba(video) == classifier.predict_proba(video)).all()
    with pytest.raises(CheckpointError, match="absent: no such folder"):
        mdmf_jax.load(tmp_path / "absent")
