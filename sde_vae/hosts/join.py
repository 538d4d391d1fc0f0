"""Join the processes that train together, for as long as a command takes."""

import atexit
import contextlib
import socket
import time
from collections.abc import Iterator

from sde_vae.errors import IN_ONE_LINE, BadInput, LostProcess, reason
from sde_vae.hosts.cluster import Cluster, detected
from sde_vae.hosts.together import START_AGAIN, only_first_prints, together
from sde_vae.hosts.watch import LOOK, Watch, end_at_once

# Seconds within which all processes must have started; without a sign of life after which one counts as ended; and in which all must end.
STARTED, ALIVE, ENDED = 300, 60, 60
# What JAX's errors of a step contain if a connection to another process broke.
OF_CONNECTIONS = ("Gloo", "NCCL", "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED")


@contextlib.contextmanager
def joined(asked: Cluster | None) -> Iterator[bool]:
    """A context, True if this process is one of several: those of `asked`, else of the cluster that started it, if any.

    If it fails on one, the others end too, with the same exit code: whoever starts them starts them all again. Raises BadInput for a
    cluster that cannot be joined, and LostProcess if another process has ended.
    """
    import jax

    cluster = asked or detected()
    if cluster is None or cluster.processes == 1 or jax.distributed.is_initialized():
        yield False
        return
    _initialise(cluster)
    watch = Watch(cluster.process, cluster.processes)
    try:
        with only_first_prints():
            yield True
        together("end", lambda: None)
        watch.stop()
    except BaseException as error:
        lost = _of_another(error, watch)
        shown = lost or error
        code = 2 if isinstance(shown, BadInput) else 1
        watch.tell(code, str(shown) if isinstance(shown, IN_ONE_LINE) else reason(shown))
        atexit.register(end_at_once, code)
        if lost is not None:
            raise lost from error
        raise


def _initialise(cluster: Cluster) -> None:
    """Connect to the others. Raises BadInput if they do not come in time."""
    import jax

    # Its handler would take SIGTERM from ours, which save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    given = {} if cluster.coordinator is None else cluster._asdict()
    if cluster.coordinator is not None and cluster.process > 0:
        _wait_for(cluster.coordinator)
    names = {"coordinator": "coordinator_address", "processes": "num_processes", "process": "process_id"}
    try:
        jax.distributed.initialize(
            **{names[name]: value for name, value in given.items()},
            initialization_timeout=STARTED,
            heartbeat_timeout_seconds=ALIVE,
            shutdown_timeout_seconds=ENDED,
        )
    except Exception as error:
        raise BadInput(
            f"--coordinator: process {cluster.process} of {cluster.processes} could not join {cluster.coordinator or 'its cluster'} "
            f"({reason(error)}); start all processes, with one address that all can reach"
        ) from error


def _wait_for(coordinator: str) -> None:
    """Wait until process 0 listens at HOST:PORT, or raise BadInput: without it JAX ends this process by SIGABRT."""
    host, _, port = coordinator.rpartition(":")
    until = time.monotonic() + STARTED
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise BadInput(
                    f"--coordinator: nothing listens at {coordinator} after {STARTED} seconds ({reason(error)}); start process 0 too, and "
                    "give the address at which this host reaches it"
                ) from error
        time.sleep(0.2)


def _of_another(error: BaseException, watch: Watch) -> Exception | None:
    """Return the error to raise in the place of `error` where that comes from the end of another process."""
    # JAX's own where a program ends, and a ValueError where one begins.
    kinds = ("JaxRuntimeError", "ValueError")
    broken = type(error).__name__ in kinds and any(word in str(error) for word in OF_CONNECTIONS)
    if not broken and not isinstance(error, LostProcess):
        return None
    # A process that fails says so before it goes.
    watch.stop()
    told = watch.failure(wait=2 * LOOK)
    if told is not None:
        return (BadInput if told["code"] == 2 else LostProcess)(told["line"])
    ended = f"another process has ended ({reason(error)}); {START_AGAIN}"
    return error if isinstance(error, LostProcess) else LostProcess(ended)
