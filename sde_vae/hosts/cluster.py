"""Which processes train together: what the command line says of them, or else the cluster that started this one.

JAX knows the environments of TPU pods, SLURM, Open MPI and Kubernetes, but tells what it finds only by joining it. A job of one process
must not be joined, because under SLURM and Open MPI a process that joins uses one GPU only. So JAX's own readers, which are private, are
asked here for the number of processes.
"""

import os
from typing import Any, NamedTuple

from sde_vae.errors import BadInput, reason

BY_HAND = (
    "give --coordinator HOST:PORT --num_processes N --process_id I, or --num_processes 1 to use this process alone"
)


class Cluster(NamedTuple):
    """The number of processes that train together, and which of them this one is; coordinator is HOST:PORT of process 0, or None if found by JAX."""

    coordinator: str | None
    processes: int
    process: int


def asked_for(coordinator: str | None, num_processes: str | None, process_id: str | None) -> Cluster | None:
    """Return the cluster that the three options of the command line describe, or None without any of them.

    Raises BadInput for a value that is wrong, and where one is missing. `--num_processes 1` needs no other: this process is alone.

    >>> asked_for("10.0.0.1:1234", "4", "3")
    Cluster(coordinator='10.0.0.1:1234', processes=4, process=3)
    """
    options = {"--coordinator": coordinator, "--num_processes": num_processes, "--process_id": process_id}
    if all(value is None for value in options.values()):
        return None
    n = None if num_processes is None else _number("--num_processes", num_processes, 1, 2**16)
    missing = [name for name, value in options.items() if value is None]
    if missing and n != 1:
        given = ", ".join(f"{name} {value}" for name, value in options.items() if value is not None)
        raise BadInput(f"{missing[0]}: missing, got {given} only; {BY_HAND}")
    n = n or 1
    process = 0 if process_id is None else _number("--process_id", process_id, 0, n - 1)
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise BadInput(f"--coordinator: got {coordinator!r}, expected HOST:PORT of process 0, as in 10.0.0.1:1234")
    return Cluster(coordinator, n, process)


def _number(name: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadInput(f"{name}: got {text!r}, expected a whole number from {least} to {most}")
    return int(text)


def detected() -> Cluster | None:
    """Return the cluster that started this process, or None if there is none, or if this process is its only one.

    Raises BadInput if a cluster is there and does not say who belongs to it.
    """
    environment = _environment()
    if environment is None:
        return None
    try:
        n, process = environment.get_process_count(), environment.get_process_id()
    except Exception as error:
        raise BadInput(
            f"--num_processes: {environment.name or environment.__name__} does not say how many processes there are ({reason(error)}); {BY_HAND}"
        ) from error
    return Cluster(None, n, process) if n > 1 else None


def _environment() -> Any:
    """Return JAX's reader of the cluster that this process is in, or None. It is the one that jax.distributed.initialize takes."""
    from jax._src.clusters import ClusterEnv

    for environment in ClusterEnv._cluster_types:
        # A pod of Kubernetes is one of several processes only in an indexed job; JAX would warn in any other.
        in_no_job = environment.__name__ == "K8sCluster" and "JOB_COMPLETION_INDEX" not in os.environ
        if not environment.opt_in_only_method and not in_no_job and _is_present(environment):
            return environment
    return None


def _is_present(environment: Any) -> bool:
    """Return whether this process is in such a cluster; one that is asked through a network, and does not answer, is none."""
    try:
        return environment.is_env_present()
    except Exception:
        return False
