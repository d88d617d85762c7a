"""`mdmf weights`, and encoders by name in the other commands."""

import json
import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import constants
from weight_servers import Hub, Server, contents_of, serving, sha256

import mdmf_jax
from mdmf_jax.errors import WeightsError
from mdmf_jax.weights import archives

NAME = "people/tiny-clip"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def hub(monkeypatch, tmp_path, clip_folder):
    """A hub with one CLIP, and empty caches."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("MDMF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    made = Hub()
    made.commit = made.add(NAME, contents_of(clip_folder))
    with serving(made):
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        yield made


@pytest.fixture
def archive(monkeypatch):
    """A server that has a small file as the archive of rn50."""
    small = archives.ARCHIVES["rn50"]._replace(sha256=sha256(CONTENT), size=len(CONTENT))
    monkeypatch.setitem(archives.ARCHIVES, "rn50", small)
    with serving(Server({f"/{small.sha256}/RN50.pt": CONTENT})) as made:
        monkeypatch.setenv(archives.VARIABLE, made.address)
        yield made


@pytest.fixture
def call(capsys):
    """(exit code, stdout, stderr) of a command."""

    def run(*argv):
        code = mdmf_main([str(word) for word in argv])
        return code, *capsys.readouterr()

    return run


def mdmf_main(argv):
    from mdmf_jax.cli.main import main

    return main(argv)


def test_list_fetch_verify(hub, archive, call):
    code, out, _ = call("weights", "list")
    assert code == 0 and len(out.splitlines()) == 14
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["vit_l14"] == ["vit_l14", "932.8", "MB", "MIT", "no"]
    assert call("weights", "verify") == (0, "nothing is here; see mdmf weights list\n", "")

    place = archives.place_of("rn50")
    place.parent.mkdir(parents=True)
    place.with_name("RN50.pt.part").write_bytes(CONTENT[:5000])
    assert re.search(r"rn50 +0.0 MB +MIT +0.0 MB of it", call("weights", "list")[1])
    code, out, err = call("weights", "fetch", "rn50", NAME)
    assert code == 0 and f"rn50@{sha256(CONTENT)}: {place}\n" in out
    assert f"{NAME}@{hub.commit}: " in out
    assert "CLIP RN50, licence MIT, 0.0 MB" in err and "licence mit, 5 files, 0.1 MB" in err
    out = call("weights", "list")[1]
    assert str(place) in out and f"{NAME}@{hub.commit}" in out
    code, out, _ = call("weights", "verify")
    assert (code, out) == (0, f"rn50: as published\n{NAME}@{hub.commit}: as published\n")


def test_damage_is_found_and_mended(hub, archive, call, tmp_path):
    call("weights", "fetch", "rn50", NAME)
    place = archives.place_of("rn50")
    place.write_bytes(CONTENT[:-1] + b"x")
    (weights,) = tmp_path.glob("hub/*/snapshots/*/model.safetensors")
    weights.resolve().write_bytes(b"x")
    code, out, _ = call("weights", "verify")
    assert code == 1 and f"rn50: damaged: {place}" in out and f"damaged: {weights}" in out
    assert call("weights", "verify", "rn50")[0] == call("weights", "verify", NAME)[0] == 1
    code, out, _ = call("weights", "fetch", "rn50", NAME)
    assert code == 0 and out.count("is damaged and is fetched again") == 2
    assert call("weights", "verify", "rn50", NAME)[0] == 0


def test_files_to_carry_away(hub, archive, call, clip_folder, tmp_path):
    code, out, _ = call("weights", "fetch", NAME, f"--out={tmp_path / 'clip'}")
    assert code == 0 and out.endswith(f": {tmp_path / 'clip'}\n")
    assert contents_of(tmp_path / "clip") == contents_of(clip_folder)
    assert not any(path.is_symlink() for path in (tmp_path / "clip").iterdir())
    call("weights", "fetch", "rn50", f"--out={tmp_path / 'rn50'}")
    assert contents_of(tmp_path / "rn50") == {"RN50.pt": CONTENT}
    assert "exists already" in call("weights", "fetch", NAME, f"--out={tmp_path / 'clip'}")[2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fetch", "vit_b61"], "vit_b61: no such folder, and no encoder has this name either; did"),
        (["fetch", "packaged:demo"], "packaged:demo: lies here already"),
        (["fetch", "people/absent"], "people/absent: no such folder here, and http"),
        (["fetch", "a/b", "c/d", "--out=x"], "--out is for one NAME"),
        (["verify", "vit_b16"], "vit_b16: is not here; call mdmf weights fetch vit_b16"),
        (["verify", "nothing"], "nothing: no such folder, and no encoder has this name"),
        (["fetch", "rn50@main"], "rn50@main: the archive that this program knows is rn50@"),
    ],
)
def test_mistakes(hub, archive, call, argv, message):
    code, out, err = call("weights", *argv)
    assert code == 2 and out == ""
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


def test_a_name_that_nobody_has(hub, call, tmp_path):
    with pytest.raises(WeightsError, match="people/absent: no such folder here, and http.* has no"):
        mdmf_jax.load("people/absent")
    argv = ["fit", "--support=x", f"--out={tmp_path / 'm'}"]
    for name in ("vit_b61", "vit_b61@x"):
        code, _, err = call(*argv, f"--encoder={name}")
        assert code == 2 and err.startswith(f"error: {name}: no such folder")
        assert "did you mean vit_b16?" in err and "mdmf weights list" in err
    asked = len(hub.asked)
    code, _, err = call(*argv, "--checkpoint=runs/absent")  # a run is never asked for at the hub
    assert code == 2 and "runs/absent: no such folder" in err and len(hub.asked) == asked


def test_the_hub_in_one_line_and_its_revision_in_the_model(hub, videos, tmp_path, monkeypatch):
    model = mdmf_jax.FewShotClassifier.from_pretrained(NAME)  # otam needs no training
    model.fit(videos / "test").save(tmp_path / "model")
    content = json.loads((tmp_path / "model/model.json").read_text())
    assert content["settings"]["encoder"]["path"] == f"{NAME}@{hub.commit}"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    again = mdmf_jax.FewShotClassifier.load(tmp_path / "model")  # needs no hub
    assert again.classes_ == model.classes_ and len(hub.asked) == asked


def test_the_revision_in_results(hub, settings):
    settings.encoder.path, settings.method, settings.train.steps = NAME, "mean_pool", 0
    results = mdmf_jax.evaluate(config=settings, episodes=4, quiet=True)
    assert results["settings"]["encoder"]["path"] == f"{NAME}@{hub.commit}"


@pytest.mark.slow
def test_the_revision_in_checkpoints(hub, settings, clip_folder, tmp_path):
    from mdmf_jax.training.restore import find

    settings.encoder.path, settings.train.steps = NAME, 1
    settings.train.validate_every, settings.eval.shots, settings.eval.untrained = 1, (1,), False
    results = mdmf_jax.train(settings, tmp_path, quiet=True)
    name = f"{NAME}@{hub.commit}"
    assert results["settings"]["encoder"]["path"] == name
    assert find(tmp_path).config.encoder.path == name
    config = contents_of(clip_folder)["config.json"] + b"\n"
    hub.add(NAME, contents_of(clip_folder) | {"config.json": config})
    asked = len(hub.asked)
    mdmf_jax.train(settings, tmp_path, quiet=True)  # goes on with the same commit
    assert len(hub.asked) == asked
    found = mdmf_jax.evaluate(tmp_path, episodes=4, encoder=NAME, quiet=True)
    assert found["settings"]["encoder"]["path"] == name


def test_the_variables_of_the_hub_are_heeded(hub, repository, tmp_path):
    variables = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", "mdmf_jax", "weights", "fetch", NAME]
    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, env=os.environ | variables
    )
    assert done.returncode == 0, done.stderr
    place = tmp_path / f"home/hub/models--people--tiny-clip/snapshots/{hub.commit}"
    assert done.stdout == f"{NAME}@{hub.commit}: {place}\n"
    assert f"from {hub.address} to" in done.stderr
