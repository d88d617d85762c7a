"""Kills training runs at random moments, restarts them, and compares with a run left alone.

    python tests/soak/soak.py [--kills 20] [--seed 0] [--workdir runs/soak]

Every second kill (SIGKILL) comes during the save of a checkpoint, the others at any moment after
the start of the program. A killed run is started again until it has finished, and new runs are
killed until there were enough kills. Prints a table, and ends with exit code 1 if a run did not
go on or its final parameters differ in one bit from those of the run that was left alone.
"""

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = 12
SETTINGS = {
    "train.steps": STEPS,
    "train.episodes_per_step": 4,
    "train.validate_every": 2,
    "train.validate_episodes": 20,
    "train.log_every": 1,
    "mdmf.hidden": 64,
    "eval.episodes": 50,
    "eval.untrained": False,
}


class Kill(NamedTuple):
    """One kill: its moment, the newest whole checkpoint after it, and what the restart did."""

    moment: str
    step: int
    result: str


def start(workdir: Path, log: Path) -> subprocess.Popen:
    """Starts (or continues) the training in `workdir`."""
    flags = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    command = [sys.executable, "train.py", "--config=configs/demo.py", f"--workdir={workdir}"]
    with log.open("a") as file:
        return subprocess.Popen(command + flags, cwd=REPOSITORY, stdout=file, stderr=file)


def finish(workdir: Path, log: Path) -> float:
    """Runs the training to its end; returns the seconds it took."""
    begin = time.monotonic()
    process = start(workdir, log)
    if process.wait(timeout=900):
        sys.exit(f"the run in {workdir} failed; see {log}")
    return time.monotonic() - begin


def kill_at_random(process: subprocess.Popen, rng: random.Random, seconds: float) -> str | None:
    """Kills at a random moment of the next `seconds`; None if the run had ended before."""
    delay = rng.uniform(0.5, seconds)
    try:
        process.wait(timeout=delay)
        return None
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return f"after {delay:.1f} s"


def kill_in_save(process: subprocess.Popen, rng: random.Random, workdir: Path) -> str | None:
    """Kills during one of the next saves; None if the run had ended before."""
    skip, seen = rng.randrange(2), set()
    while process.poll() is None:
        for marker in (workdir / "checkpoints").glob(".saving-*"):
            seen.add(marker.name)
            if len(seen) > skip:
                delay = rng.uniform(0, 0.2)
                time.sleep(delay)
                if not marker.exists():
                    continue
                process.send_signal(signal.SIGKILL)
                process.wait()
                return f"saving step {marker.name.rpartition('-')[2]}, {1000 * delay:.0f} ms in"
        time.sleep(0.001)
    return None


def newest(workdir: Path) -> int:
    """Step of the newest whole checkpoint, 0 without one."""
    folders = (workdir / "checkpoints").glob("[0-9]*")
    return max((int(f.name) for f in folders if (f / "manifest.json").is_file()), default=0)


def parameters_hash(workdir: Path) -> str:
    """SHA-256 over the whole train state of the last checkpoint."""
    step = newest(workdir)
    if step != STEPS:
        sys.exit(f"the newest checkpoint in {workdir} is of step {step} instead of {STEPS}")
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore((workdir / "checkpoints" / str(step) / "state").resolve())
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def soak(folder: Path, kills: int, rng: random.Random, console: Console) -> list[Kill]:
    """Kills and restarts runs until there were `kills` kills; checks each finished run."""
    seconds = finish(folder / "unbroken", folder / "unbroken.log")
    expected = parameters_hash(folder / "unbroken")
    console.print(f"unbroken run: {seconds:.0f} s, parameters {expected[:16]}")
    done: list[Kill] = []
    number = 0
    while len(done) < kills:
        number += 1
        workdir, log = folder / f"killed{number}", folder / f"killed{number}.log"
        while len(done) < kills:
            process = start(workdir, log)
            if len(done) % 2:
                moment = kill_in_save(process, rng, workdir)
            else:
                moment = kill_at_random(process, rng, seconds)
            if moment is None:
                break
            done.append(Kill(moment, newest(workdir), f"run {number}"))
            console.print(f"kill {len(done)}: {moment}, whole checkpoint: step {newest(workdir)}")
        finish(workdir, log)
        same = parameters_hash(workdir) == expected
        result = "identical" if same else "DIFFERENT"
        done = [
            k._replace(result=f"{k.result}: {result}") if ":" not in k.result else k for k in done
        ]
    return done


def report(done: list[Kill], console: Console) -> bool:
    """Prints the table; whether all ended well."""
    table = Table(title=f"{len(done)} kills (SIGKILL)")
    for name in ("kill", "moment", "step found at the restart", "final parameters"):
        table.add_column(name)
    for number, kill in enumerate(done, 1):
        table.add_row(str(number), kill.moment, str(kill.step), kill.result)
    console.print(table)
    return all(kill.result.endswith("identical") for kill in done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=Path, default=Path("runs/soak"))
    options = parser.parse_args()
    folder = options.workdir.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    console = Console()
    done = soak(folder, options.kills, random.Random(options.seed), console)
    if not report(done, console):
        sys.exit("a killed run ended with other parameters than the unbroken one")
    console.print("all runs went on and ended with the parameters of the unbroken one")


if __name__ == "__main__":
    main()
