"""SIGTERM: all processes save the same step, and the run goes on as if nothing had been."""

import os
import re
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from mdmf_jax.cli.main import STOPPED

STEPS = 30


def flags(tiny, workdir):
    changed = tiny | {"train.steps": STEPS, "train.validate_every": 10, "eval.untrained": False}
    settings = [f"--config.{name}={value}" for name, value in changed.items()]
    return ["--config=configs/common.py", f"--workdir={workdir}", *settings]


def launch(arguments, count, repository):
    """Starts train.py as `count` processes of 8 / count devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    devices = f"--xla_force_host_platform_device_count={8 // count}"
    together = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
    return [
        subprocess.Popen(
            [sys.executable, "train.py", *arguments]
            + ([*together, f"--process_id={number}"] if count > 1 else []),
            env=os.environ | {"XLA_FLAGS": devices, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=repository,
        )
        for number in range(count)
    ]


def finish(processes):
    """What they print until they end, and their exit codes."""
    printed = [process.communicate(timeout=400)[0] for process in processes]
    return printed, [process.returncode for process in processes]


def last_state(workdir):
    """The train state, in the memory of one device."""
    path = (workdir / "checkpoints" / str(STEPS) / "state").resolve()
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path).item_metadata.tree
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), saved
        )
        return jax.tree.map(np.asarray, checkpointer.restore(path, target))


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("count", [1, 2])
def test_a_run_stopped_by_sigterm_ends_as_one_that_was_not(tiny, tmp_path, repository, count):
    printed, codes = finish(launch(flags(tiny, tmp_path / "unbroken"), count, repository))
    assert codes == [0] * count, printed

    broken = flags(tiny, tmp_path / "broken")
    processes = launch(broken, count, repository)
    for line in processes[0].stdout:
        if line.startswith("step 4/"):
            break
    processes[-1].send_signal(signal.SIGTERM)
    printed, codes = finish(processes)
    assert codes == [STOPPED] * count, printed
    steps = [re.findall(r"stopped by SIGTERM after step (\d+)", text) for text in printed]
    assert len({tuple(found) for found in steps}) == 1 and len(steps[0]) == 1, printed
    step = int(steps[0][0])
    assert 4 <= step < STEPS
    assert (tmp_path / "broken" / "checkpoints" / str(step) / "manifest.json").is_file()

    printed, codes = finish(launch(broken, count, repository))
    assert codes == [0] * count, printed
    assert f"continuing after step {step} " in printed[0].replace("\n", " ")
    states = [jax.tree.leaves(last_state(tmp_path / name)) for name in ("unbroken", "broken")]
    for whole, resumed in zip(*states, strict=True):
        np.testing.assert_array_equal(whole, resumed)
