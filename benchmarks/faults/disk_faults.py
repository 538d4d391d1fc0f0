"""Workdirs that cannot be made or written, and disks that are full: before training, within it, and within an evaluation."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults import bench

Fault = tuple[str, Callable[[Path, Path], str]]


def faults(whole: Path) -> Iterator[Fault]:
    """The faults of this kind."""
    del whole
    for mode in ("train", "sample"):
        yield f"{mode}: the place is a file", partial(is_a_file, mode)
        yield f"{mode}: the place is below a file", partial(below_a_file, mode)
        yield f"{mode}: the place cannot be made", partial(cannot_be_made, mode)
    for size in (100, 1000, 3000, 20_000):
        yield f"train: no file may have more than {size} bytes", partial(full, "train", size)
    for size in (100, 1000, 20_000):
        yield f"eval: no file may have more than {size} bytes", partial(full, "eval", size)
    yield "train: the home folder as ~", home


def is_a_file(mode: str, whole: Path, to: Path) -> str:
    """The workdir, or the output, is a file."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    (to / "file").write_text("")
    return _refused(_at(mode, whole, to / "file"))


def below_a_file(mode: str, whole: Path, to: Path) -> str:
    """Nothing can be made below a file."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    (to / "file").write_text("")
    return _refused(_at(mode, whole, to / "file" / "below"))


def cannot_be_made(mode: str, whole: Path, to: Path) -> str:
    """Not even root makes a folder in /proc."""
    del to
    return _refused(_at(mode, whole, Path("/proc/none")))


def full(mode: str, size: int, whole: Path, to: Path) -> str:
    """A process that may not write large files is a process on a full disk; then there is room again."""
    without = ("prior", "encoder", "eval", "synthetic") if mode == "train" else ("eval",)
    bench.copy(whole, to, without)
    program = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); import sde_vae.cli as c; sys.exit(c.main(sys.argv[1:]))"
    # Compiled programs are kept elsewhere, and would not fit either.
    process = bench.start("-c", program.format(size), *bench.words(mode, to))
    _, err = process.communicate(timeout=200)
    lines = [
        line
        for line in err.replace("\r", "\n").splitlines()
        if line.strip() and "it/s" not in line and "/s]" not in line
    ]
    if process.returncode not in (1, 2) or "Traceback" in err or sum("error:" in line for line in lines) != 1:
        return f"exit code {process.returncode}, {len(lines)} lines: {err[-400:]}"
    outcome = bench.command(mode, to)
    return outcome.err[-300:] if outcome.code else ", ".join(bench.differences(to, whole, mode == "eval"))


def home(whole: Path, to: Path) -> str:
    """`~` is the home folder."""
    bench.copy(whole, to, ("encoder", "eval"))
    before = os.environ["HOME"]
    os.environ["HOME"] = str(to.parent)
    try:
        outcome = bench.main(bench.words("train", Path("~") / to.name))
    finally:
        os.environ["HOME"] = before
    return outcome.err[-300:] if outcome.code else ", ".join(bench.differences(to, whole, False))


def _at(mode: str, whole: Path, place: Path) -> bench.Outcome:
    if mode == "train":
        return bench.command("train", place)
    return bench.main(["--mode", "sample", "--workdir", str(whole), "--n", "2", "--output", str(place / "new.npz")])


def _refused(outcome: bench.Outcome) -> str:
    return "" if outcome.refused and outcome.code == 2 else f"exit code {outcome.code}: {outcome.err[-300:]}"
