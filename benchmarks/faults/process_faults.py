"""Signals at many points of training and evaluation, two processes on one workdir, and what a killed one leaves behind."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults import bench

Fault = tuple[str, Callable[[Path, Path], str]]
# The last checkpoint: without it there is something to train, and something to evaluate.
LAST = str(bench.STEPS)
SHARED_MEMORY = Path("/dev/shm")


def killed(whole: Path) -> Iterator[Fault]:
    """SIGKILL at points spread over training and evaluation."""
    yield from _signals(whole, "KILL", {"train": 6, "eval": 6})


def asked_to_stop(whole: Path) -> Iterator[Fault]:
    """SIGTERM and SIGINT likewise; they may not end in a traceback or a crash."""
    for number in ("TERM", "INT"):
        yield from _signals(whole, number, {"train": 3, "eval": 2})
    yield "INT while the first step compiles", while_it_compiles
    yield "INT twice", twice


def several(whole: Path) -> Iterator[Fault]:
    """Two processes on one workdir, locks that were left, and workers that lost their parent."""
    for first, second in (("train", "train"), ("train", "eval"), ("eval", "eval"), ("eval", "train")):
        yield f"{second} while another process does {first}", partial(two_at_once, first, second)
    yield "a lock of another host, 5 seconds old", partial(lock_of_another_host, 5, True)
    yield "a lock of another host, an hour old", partial(lock_of_another_host, 3600, False)
    yield "a lock of this host with the number of a living process", lock_left
    yield "workers after SIGKILL", orphans


def _signals(whole: Path, number: str, points: dict[str, int]) -> Iterator[Fault]:
    for mode, n in points.items():
        total: list[int] = []
        for i in range(n):
            yield f"{number} in {mode} at {i + 1} of {n}", partial(at_point, number, mode, total, (i + 0.5) / n)


def at_point(number: str, mode: str, total: list[int], part: float, whole: Path, to: Path) -> str:
    """A signal after `part` of the events of a command; then the same command again."""
    without = ("prior", "encoder", "eval", "synthetic") if mode == "train" else ("eval",)
    if not total:
        total.append(bench.events(mode, bench.copy(whole, to, without)))
    bench.copy(whole, to, without)
    outcome = bench.struck(number, max(1, round(part * total[0])), mode, to)
    expected = {"KILL": {-9}, "TERM": {0, 143}, "INT": {0, 130}}[number]
    if outcome.code not in expected or "Traceback" in outcome.err:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    return goes_on(mode, whole, to)


def goes_on(mode: str, whole: Path, to: Path) -> str:
    """Run the same command again, and compare."""
    outcome = bench.command(mode, to)
    if outcome.code:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    return ", ".join(bench.differences(to, whole, mode == "eval"))


def while_it_compiles(whole: Path, to: Path) -> str:
    """SIGINT once the bar of the first stage is there: the first step compiles then."""
    bench.copy(whole, to, ("prior", "encoder", "eval", "synthetic"))
    process = _started("train", to)
    _wait(lambda: (to / "prior" / "metrics.jsonl").exists(), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    if process.returncode or "Traceback" in err or "stopped by SIGINT" not in out:
        return f"exit code {process.returncode}: {out[-200:]} {err[-300:]}"
    return goes_on("train", whole, to)


def twice(whole: Path, to: Path) -> str:
    """The second SIGINT leaves at once."""
    bench.copy(whole, to, ("prior", "encoder", "eval", "synthetic"))
    process = _started("train", to, stages__prior__steps=10**6, stages__prior__checkpoint_every=10**6)
    _wait(lambda: (to / "prior" / "metrics.jsonl").exists(), process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    # The first may have been enough.
    return "" if process.returncode in (0, 130) and "Traceback" not in err else f"exit code {process.returncode}: {err}"


def two_at_once(first: str, second: str, whole: Path, to: Path) -> str:
    """The second process is refused in a line that names the first, which goes on undisturbed."""
    bench.copy(whole, to, ("eval", LAST) if first == "train" else ("eval",))
    process = _started(first, to)
    try:
        _wait(lambda: (to / ".owner.json").exists(), process)
        outcome = bench.command(second, to)
        _, err = process.communicate(timeout=200)
        if process.returncode:
            return f"the first: {err[-300:]}"
        if not outcome.refused or f"in use by process {process.pid} on " not in outcome.err:
            return f"the second: exit code {outcome.code}: {outcome.err[-300:]}"
        return ", ".join(bench.differences(to, whole, first == "eval"))
    finally:
        bench.stop(process)


def lock_of_another_host(age: int, refused: bool, whole: Path, to: Path) -> str:
    """A living process elsewhere is refused; one that is silent is taken over."""
    bench.copy(whole, to, ("encoder",))
    owner = to / ".owner.json"
    owner.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "yesterday"}))
    os.utime(owner, (time.time() - age,) * 2)
    outcome = bench.command("train", to)
    if refused:
        return "" if outcome.refused and "process 1 on elsewhere since yesterday" in outcome.err else outcome.err[-300:]
    return outcome.err[-300:] if outcome.code else ", ".join(bench.differences(to, whole, False))


def lock_left(whole: Path, to: Path) -> str:
    """Its process is dead, and its number another process's."""
    bench.copy(whole, to, ("encoder",))
    (to / ".owner.json").write_text(json.dumps({"pid": os.getppid(), "host": socket.gethostname(), "since": "then"}))
    return goes_on("train", whole, to)


def orphans(whole: Path, to: Path) -> str:
    """After SIGKILL neither the workers that read ahead nor their shared memory stay."""
    bench.copy(whole, to, ("prior", "encoder", "eval", "synthetic"))
    before = _shared_memory()
    more = {"data__workers": 2, "stages__prior__steps": 10**6, "stages__prior__checkpoint_every": 10**6}
    process = _started("train", to, **more)
    _wait(lambda: (to / "prior" / "metrics.jsonl").exists() and _rows(to) > 3, process)
    workers = _descendants(process.pid)
    bench.stop(process)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        alive = [pid for pid in workers if _runs(pid)]
        if not alive and not _shared_memory() - before:
            return "" if len(workers) >= 2 else f"expected two workers, found {len(workers)}"
        time.sleep(0.2)
    return f"{len(alive)} of {len(workers)} processes, {len(_shared_memory() - before)} segments stay"


def _started(mode: str, to: Path, **changes: object):
    return bench.start("main.py", *bench.words(mode, to, **changes))


def _wait(condition: Callable[[], bool], process, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"ended or timed out: {process.communicate()[1][-300:]}")
        time.sleep(0.02)


def _rows(to: Path) -> int:
    return (to / "prior" / "metrics.jsonl").read_bytes().count(b"\n")


def _shared_memory() -> set[str]:
    return {p.name for p in SHARED_MEMORY.glob("psm_*")} if SHARED_MEMORY.is_dir() else set()


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(child) for path in children for child in re.findall(r"\d+", path.read_text())]
    return [*own, *(below for child in own for below in _descendants(child))]


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
