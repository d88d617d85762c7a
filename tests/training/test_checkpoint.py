"""Checkpoints: what is kept, what is refused, what is found."""

import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints, locate
from mdmf_jax.training.state import TrainState

SETTINGS = {"seed": 0, "train": {"steps": 3, "learning_rate": 0.1, "freeze": ["^encoder/"]}}


def state(step, width=3):
    params = {"head": {"kernel": jnp.full((width, width), step / 7)}}
    return TrainState(jnp.int32(step), jnp.int32(0), params, optax.adam(1.0).init(params))


def abstract(width=3):
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state(0, width)
    )


def save(folder, accuracies, keep=2):
    with Checkpoints(folder, keep) as checkpoints:
        for step, accuracy in enumerate(accuracies, 1):
            checkpoints.save(step, state(step), SETTINGS, {"accuracy": accuracy})


def steps(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def test_newest_and_best_are_kept(tmp_path):
    save(tmp_path, [0.5, 0.9, 0.2, 0.3, 0.1])
    assert steps(tmp_path) == [2, 4, 5]
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest(), checkpoints.best()) == (5, 2)
        assert checkpoints.metrics(2) == {"accuracy": 0.9}
        assert checkpoints.settings(4) == SETTINGS


def test_of_equally_good_ones_the_newest_is_best(tmp_path):
    save(tmp_path, [0.9, 0.9, 0.2, 0.1])
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best() == 2


def test_restored_state_is_the_saved_one(tmp_path):
    save(tmp_path, [0.1, 0.2])
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        restored = checkpoints.restore(2, abstract())
    assert jax.tree.structure(restored) == jax.tree.structure(state(2))
    for found, saved in zip(jax.tree.leaves(restored), jax.tree.leaves(state(2)), strict=True):
        np.testing.assert_array_equal(found, saved)
        assert found.dtype == saved.dtype


def test_other_settings_are_refused_and_named(tmp_path):
    save(tmp_path, [0.1])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.check(1, SETTINGS | {"train": SETTINGS["train"] | {"steps": 9}})
        with pytest.raises(CheckpointError, match=r"other settings \(seed: 0 -> 1\)"):
            checkpoints.check(1, SETTINGS | {"seed": 1})


def test_other_shapes_are_refused(tmp_path):
    save(tmp_path, [0.1])
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(
            CheckpointError, match=r": opt_state/0/mu/head/kernel is \(3, 3\), \(4, 4\) is needed"
        ),
    ):
        checkpoints.restore(1, abstract(width=4))


def damage_by_truncation(path):
    path.write_bytes(path.read_bytes()[:-1])


def damage_by_deletion(path):
    path.unlink()


def damage_by_one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [damage_by_truncation, damage_by_deletion, damage_by_one_bit],
    ids=lambda f: f.__name__,
)
def test_damage_of_any_file_is_noticed(tmp_path, damage):
    save(tmp_path / "whole", [0.1])
    files = [p for p in (tmp_path / "whole" / "1").rglob("*") if p.is_file() and p.stat().st_size]
    assert len(files) > 5
    for number, path in enumerate(files):
        copy = shutil.copytree(tmp_path / "whole", tmp_path / f"copy{number}")
        damage(copy / path.relative_to(tmp_path / "whole"))
        with Checkpoints(copy) as checkpoints:
            with pytest.raises(CheckpointError, match="1 is damaged: "):
                checkpoints.restore(1, abstract())
            with pytest.raises(CheckpointError, match="1 is damaged: "):
                checkpoints.best()


def test_an_interrupted_save_does_not_count_and_is_removed(tmp_path):
    save(tmp_path, [0.1, 0.2])
    (tmp_path / "2" / "manifest.json").unlink()  # As after a kill just before the end of a save.
    (tmp_path / ".saving-2").touch()
    with Checkpoints(tmp_path) as reader:
        assert (reader.latest(), reader.best()) == (1, 1)
    assert steps(tmp_path) == [1, 2]
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest() == 1
        checkpoints.save(2, state(2), SETTINGS, {"accuracy": 0.2})
        assert checkpoints.latest() == 2
    assert not list(tmp_path.glob(".saving-*"))


def test_a_save_without_validation_is_best_only_alone(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, state(1), SETTINGS, {})
        assert checkpoints.best() == 1
        checkpoints.save(2, state(2), SETTINGS, {"accuracy": 0.0})
        checkpoints.save(3, state(3), SETTINGS, {})
        assert (checkpoints.latest(), checkpoints.best()) == (3, 2)


def test_what_is_set_aside_counts_no_more(tmp_path):
    save(tmp_path, [0.1, 0.2])
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.set_aside(2)
        assert checkpoints.steps() == [1]
        checkpoints.save(2, state(2), SETTINGS, {"accuracy": 0.2})
        assert checkpoints.steps() == [1, 2]


@pytest.mark.devices
def test_a_state_is_restored_on_other_devices(tmp_path):
    devices = np.array(jax.devices())

    def sharded(tree, count):
        mesh = jax.sharding.Mesh(devices[:count], ("data",))
        spec = {True: jax.P("data"), False: jax.P()}
        return jax.tree.map(lambda x: jax.sharding.NamedSharding(mesh, spec[x.ndim == 2]), tree)

    original = jax.device_put(state(1, width=8), sharded(state(1, width=8), 8))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, original, SETTINGS, {})
    for count in (1, 2, 4):
        target = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            original,
            sharded(original, count),
        )
        with Checkpoints(tmp_path) as checkpoints:
            restored = checkpoints.restore(1, target)
        kernel = restored.params["head"]["kernel"]
        assert len(kernel.sharding.device_set) == count
        np.testing.assert_array_equal(kernel, original.params["head"]["kernel"])


FULL_DISK = """
import resource, sys
from pathlib import Path
import jax
sys.path.insert(0, "tests/training")
from test_checkpoint import SETTINGS, state
from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.checkpoint import Checkpoints
large = state(2).replace(params=jax.random.normal(jax.random.key(0), (300, 300)))
with Checkpoints(Path(sys.argv[1]), keep=1) as checkpoints:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # Larger files fail to be written.
    try:
        checkpoints.save(2, large, SETTINGS, {"accuracy": 0.9})
    except CheckpointError as error:
        print(error)
"""


def test_a_disk_without_room(tmp_path, repository):
    save(tmp_path, [0.1])
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=True)
    assert re.search(f"{tmp_path}: the checkpoint of step 2 cannot be written", done.stdout)
    assert done.stdout.count("\n") == 1
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest() == 1
        checkpoints.restore(1, abstract())


def test_a_run_is_found_by_its_folder_or_a_step(tmp_path):
    save(tmp_path / FOLDER, [0.1])
    assert locate(tmp_path) == (tmp_path / FOLDER, None)
    assert locate(tmp_path / FOLDER) == (tmp_path / FOLDER, None)
    assert locate(tmp_path / FOLDER / "1") == (tmp_path / FOLDER, 1)


def test_folders_without_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        locate(tmp_path / "absent")
    (tmp_path / "7").mkdir()
    for path in (tmp_path / "7", tmp_path):
        with pytest.raises(CheckpointError, match="holds no checkpoint"):
            locate(path)
