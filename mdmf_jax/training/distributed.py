"""Several processes, on one host or many, that train together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

from mdmf_jax.errors import ConfigError
from mdmf_jax.training.sharding import device_mesh, over_episodes

# --coordinator=auto: JAX finds the others by itself (TPU pods, Slurm, Open MPI, Kubernetes).
AUTO = "auto"


@dataclass(frozen=True)
class Cluster:
    """How a process finds the others. With the address AUTO, JAX finds out the numbers.

    Attributes:
      coordinator: HOST:PORT of process 0, or AUTO.
      num_processes, process_id: how many, and which of them this one is.
    """

    coordinator: str
    num_processes: int | None = None
    process_id: int | None = None


def cluster_of(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """The cluster that the flags ask for, or the environment; None for a single process.

    The environment asks for it by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID; as a step of Slurm (srun) or a job of Open MPI (mpirun) with several tasks;
    and as a TPU slice with several hosts (TPU_WORKER_HOSTNAMES).

    Raises:
      ConfigError: only a part of the three is given, or they do not fit each other.
    """
    coordinator = coordinator or environment.get("JAX_COORDINATOR_ADDRESS")
    if num_processes is None:
        num_processes = _number(environment, "JAX_NUM_PROCESSES")
    if process_id is None:
        process_id = _number(environment, "JAX_PROCESS_ID")
    if coordinator is None and num_processes is None and process_id is None:
        return Cluster(AUTO) if _launched_together(environment) else None
    if coordinator == AUTO:
        return Cluster(AUTO)
    if coordinator is None or num_processes is None or process_id is None:
        raise ConfigError(
            "--coordinator=HOST:PORT, --num_processes and --process_id belong together; give all "
            f"three, or --coordinator={AUTO} alone"
        )
    if ":" not in coordinator:
        raise ConfigError(f"--coordinator is {coordinator!r}; it must be HOST:PORT")
    if not 0 <= process_id < num_processes:
        raise ConfigError(
            f"--process_id is {process_id}; it must be at least 0 and below --num_processes "
            f"({num_processes})"
        )
    return Cluster(coordinator, num_processes, process_id)


def start(cluster: Cluster | None) -> None:
    """Joins the other processes; must come before anything that uses a device.

    Raises:
      ConfigError: the others cannot be found.
    """
    if cluster is None or jax.distributed.is_initialized():
        return
    try:
        if cluster.coordinator == AUTO:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(
                cluster.coordinator, cluster.num_processes, cluster.process_id
            )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the processes cannot find each other (--coordinator={cluster.coordinator}): {reason}"
        ) from error


def is_first() -> bool:
    """Whether this is the process that logs and writes results."""
    return jax.process_index() == 0


def own_mesh(mesh: Mesh) -> Mesh:
    """The mesh, or with several processes one of this process's devices: each evaluates all."""
    if jax.process_count() == 1:
        return mesh
    devices = jax.local_devices()
    return device_mesh(len(devices), devices=devices)


def own_rows(mesh: Mesh, episodes: int) -> np.ndarray:
    """Which episodes of a batch the devices of this process take: their places, ascending."""
    places = over_episodes(mesh).addressable_devices_indices_map((episodes,))
    parts = [index[0] for index in places.values() if index]
    rows = {row for part in parts for row in range(*part.indices(episodes))}
    return np.array(sorted(rows), np.int64)


def global_arrays(sharding: NamedSharding, batch: Any, episodes: int) -> Any:
    """A tree of arrays [E, ...] over all devices; each process gives its own rows only."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x, (episodes, *x.shape[1:])),
        batch,
    )


def on_every_process(tree: Any) -> Any:
    """The tree with arrays that this process can read as a whole; those that it can stay."""
    if jax.process_count() == 1:
        return tree

    def whole(x: Any) -> Any:
        if getattr(x, "is_fully_addressable", True):
            return x
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(whole, tree)


def of_first(tree: Any) -> Any:
    """The numbers that the first process has, so that all decide alike."""
    if jax.process_count() == 1:
        return tree
    found = multihost_utils.broadcast_one_to_all(tree)
    return jax.tree.map(lambda x: np.asarray(x).item(), found)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise ConfigError(f"{name} is {text!r}; it must be a whole number")
    return int(text)


def _launched_together(environment: Mapping[str, str]) -> bool:
    # srun sets SLURM_STEP_NODELIST; in a batch script without srun there is one process only.
    slurm = "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment
    tasks = (slurm and environment.get("SLURM_NTASKS")) or environment.get("OMPI_COMM_WORLD_SIZE")
    return int(tasks or 1) > 1 or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
