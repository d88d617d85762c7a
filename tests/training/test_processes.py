"""Two processes of four devices compute what one process of eight does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.errors import ConfigError
from mdmf_jax.training.checkpoint import FOLDER, Checkpoints
from mdmf_jax.training.distributed import Cluster, cluster_of, global_arrays, of_first, own_rows
from mdmf_jax.training.sharding import device_mesh, over_episodes, path_name

SLURM = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        ((), {}, None),
        (("host:1", 2, 0), {}, Cluster("host:1", 2, 0)),
        (("auto",), {}, Cluster("auto")),
        (
            (),
            {"JAX_COORDINATOR_ADDRESS": "h:1", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"},
            Cluster("h:1", 4, 3),
        ),
        ((), SLURM, Cluster("auto")),
        ((), SLURM | {"SLURM_NTASKS": "1"}, None),
        ((), {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, None),  # a batch script without srun
        ((), {"OMPI_COMM_WORLD_SIZE": "2"}, Cluster("auto")),
        ((), {"TPU_WORKER_HOSTNAMES": "a,b"}, Cluster("auto")),
        ((), {"TPU_WORKER_HOSTNAMES": "a"}, None),
        (("host:1", 2, 1), SLURM, Cluster("host:1", 2, 1)),
    ],
)
def test_who_asks_for_several_processes(flags, environment, expected):
    assert cluster_of(*flags, environment=environment) == expected


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (("host:1",), {}, "belong together"),
        ((None, 2, 1), {}, "belong together"),
        (("host", 2, 1), {}, "must be HOST:PORT"),
        (("host:1", 2, 2), {}, "--process_id is 2; .* below --num_processes"),
        ((), {"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID is 'one'"),
    ],
)
def test_half_a_cluster_is_refused(flags, environment, message):
    with pytest.raises(ConfigError, match=message):
        cluster_of(*flags, environment=environment)


@pytest.mark.devices
def test_a_single_process_takes_all_rows():
    mesh = device_mesh(16, 2)
    assert own_rows(mesh, 16).tolist() == list(range(16))
    batch = {"x": np.arange(32).reshape(16, 2)}
    found = global_arrays(over_episodes(mesh), batch, 16)["x"]
    np.testing.assert_array_equal(found, batch["x"])
    assert found.addressable_shards[0].data.shape == (4, 2)
    assert of_first({"accuracy": 0.5}) == {"accuracy": 0.5}


def start(number, settings, folder, port, repository):
    flags = "--xla_force_host_platform_device_count=4"
    worker = Path(__file__).with_name("process_worker.py")
    return subprocess.Popen(
        [sys.executable, worker, settings, folder, f"127.0.0.1:{port}", "2", str(number)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=repository,
    )


@pytest.mark.devices
@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_equal_one(tiny, finished_run, tmp_path, repository):
    from configs import common

    config = common.get_config()
    config.update_from_flattened_dict(tiny | {"eval.untrained": False})
    settings, run = tmp_path / "settings.json", tmp_path / "run"
    run.mkdir()
    settings.write_text(json.dumps(config.to_dict()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(n, str(settings), str(run), port, repository) for n in range(2)]
    printed = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(printed)
    said = [line for line in printed[1].splitlines() if not line.startswith("[Gloo]")]
    assert not said and "results:" in printed[0]  # one process speaks

    reports = [json.loads((run / f"process{n}.json").read_text()) for n in range(2)]
    assert reports[0] == reports[1]
    for ours, theirs in zip(reports[0]["history"], finished_run.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    for task, metrics in reports[0]["test"].items():
        assert metrics["accuracy"] == finished_run.results["test"][task]["accuracy"]
    states = [restored(folder, config) for folder in (run, finished_run.folder)]
    flat = [jax.tree_util.tree_flatten_with_path(state)[0] for state in states]
    for (path, ours), (_, theirs) in zip(*flat, strict=True):
        # A softmax does not see the bias of its keys: its gradient is rounding, which Adam
        # makes as long as any other.
        rounding = config.train.steps * config.train.learning_rate
        atol = rounding if path_name(path).endswith("k_proj/bias") else 1e-5
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=atol, err_msg=path_name(path))
    events = list((run / "tensorboard").iterdir())
    assert len(events) == 1


def restored(folder, config):
    """The newest state of a run, in the memory of one device."""
    from mdmf_jax.runs.train import make_run

    trainer = make_run(from_config_dict(config)).trainer
    with Checkpoints(folder / FOLDER) as checkpoints:
        return checkpoints.restore(checkpoints.latest(), trainer.abstract_state)
