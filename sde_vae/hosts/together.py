"""What processes do together, each at the same place of the same program: agree, wait for the first, and fail alike.

With one process, every function here does its work and no more. With several, they meet at JAX's coordination service, which process 0 keeps.
"""

import contextlib
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sde_vae.errors import IN_ONE_LINE, BadInput, LostProcess, reason

# Seconds to wait for the others where each has the same to do, and where the first may sample or evaluate for days. A process that
# ends meanwhile is noticed sooner, by its missing heartbeats.
LIMIT, LONG = 600, 14 * 24 * 3600
# Seconds until a network file system shows another host what one has written.
SEEN = 90
# Errors that all processes raise if one does, by their names.
SHARED = {kind.__name__: kind for kind in IN_ONE_LINE}
_turns = itertools.count()


def several() -> bool:
    """Return whether other processes train with this one."""
    import jax

    return jax.process_count() > 1


def is_first() -> bool:
    """Return whether this is process 0, which alone writes and prints."""
    import jax

    return jax.process_index() == 0


def together(name: str, work: Callable[[], Any], first_only: bool = False, seconds: int = LIMIT) -> list[Any]:
    """Do work() on every process, or on the first only, wait for all, and return the results of all, in their order; they are JSON.

    If it fails on one, all raise its error. Raises LostProcess if a process has ended, or has not come within `seconds`.
    """
    if not several():
        return [work()]
    outcome: dict[str, Any] = {"value": None}
    own = None
    if not first_only or is_first():
        try:
            outcome = {"value": work()}
        except Exception as error:
            own = error
            line = str(error) if isinstance(error, IN_ONE_LINE) else reason(error)
            outcome = {"kind": type(error).__name__, "line": line}
    found = exchange(f"{next(_turns)}/{name}", json.dumps(outcome), seconds)
    if own is not None:
        raise own
    outcomes = [json.loads(text) for text in found]
    for process, one in enumerate(outcomes):
        if "kind" in one:
            raise SHARED.get(one["kind"], LostProcess)(f"process {process}: {one['line']}" if process else one["line"])
    return [one["value"] for one in outcomes]


def first(name: str, work: Callable[[], Any], seconds: int = LIMIT) -> Any:
    """Return what work() returns on process 0, in JSON; the others wait."""
    return together(name, work, first_only=True, seconds=seconds)[0]


def agree(name: str, value: Any, what_to_do: str) -> None:
    """Raise BadInput, on all processes, unless they all have the same value, in JSON."""
    values = together(name, lambda: json.loads(json.dumps(value)))
    for process, other in enumerate(values):
        if other != values[0]:
            raise BadInput(
                f"{name}: {_differing(values[0], other)} of process 0 and of process {process}; {what_to_do}"
            )


def _differing(a: Any, b: Any) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        name = next(name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name))
        return f"{name} differs, {a.get(name)!r} and {b.get(name)!r}"
    return f"it differs, {a!r} and {b!r}"


def exchange(name: str, text: str, seconds: int) -> list[str]:
    """Return the texts of all processes under `name`, which is used once. Raises LostProcess if one does not come in time."""
    import jax

    service, folder = client(), f"sde_vae/met/{name}/"
    try:
        service.key_value_set(f"{folder}{jax.process_index()}", text)
        service.wait_at_barrier(folder, seconds * 1000)
        found = dict(service.key_value_dir_get(folder))
    except jax.errors.JaxRuntimeError as error:
        raise LostProcess(
            f"a process has ended, or has not come to {name!r} within {seconds} seconds ({reason(error)}); {START_AGAIN}"
        ) from error
    return [found[f"{folder}{process}"] for process in range(jax.process_count())]


START_AGAIN = "start all processes again: they go on from the newest checkpoint"


def client() -> Any:
    """Return JAX's client of the coordination service. It is private; orbax uses it too."""
    from jax._src import distributed

    return distributed.global_state.client


def wait_to_see(path: Path) -> None:
    """Wait until `path`, which process 0 has written, can be seen here. Raises BadInput if it cannot: the folder is not shared."""
    until = time.monotonic() + SEEN
    while not path.exists():
        if time.monotonic() > until:
            raise BadInput(
                f"--workdir: process 0 has written {path}, which this host does not see; give a folder that all hosts share"
            )
        time.sleep(0.2)


@contextlib.contextmanager
def only_first_prints() -> Iterator[None]:
    """Within it, what processes other than the first print on stdout is dropped."""
    with contextlib.nullcontext() if is_first() else contextlib.redirect_stdout(io.StringIO()):
        yield
