"""Checkpoints: what is kept, what is refused, what is found."""

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
    return TrainState(jnp.int32(step), params, optax.adam(1.0).init(params))


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
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match="damaged or"):
        checkpoints.restore(1, abstract(width=4))


@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_damage_is_noticed(tmp_path, damage):
    save(tmp_path, [0.1])
    for path in (tmp_path / "1" / "state").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(b"") if damage == "truncate" else path.unlink()
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match="damaged"):
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
