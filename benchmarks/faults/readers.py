"""Spoil the files that the package reads from others, and read them: a value or BadInput, in short time and little memory.

    python -m benchmarks.faults.readers [--files N] [--only READER ...]

A file is a bomb made by hand, or a whole file spoilt by its seed, and for pickles also a program of random operations. Readers run
in a process of their own with a limit on its memory, so that a crash is a finding like any other.
"""

import argparse
import gc
import json
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.arguments import parser_of
from benchmarks.faults import bombs
from benchmarks.faults import reader_files as files
from sde_vae.build.data import build_loader
from sde_vae.build.fields import default_config
from sde_vae.build.workdirs import trained_config
from sde_vae.data.datasets.fashion_mnist import read_idx
from sde_vae.errors import BadInput
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.metrics.sets.moments_cache import cached_moments, folder_name
from sde_vae.pretrained.arrays import read_arrays
from sde_vae.pretrained.msgpack_files import read_flax
from sde_vae.printing import printable
from sde_vae.training import ema_files, logs

SECONDS, MEBIBYTES = 2.0, 512
ASKED = 4096  # MiB of address space: more is refused, and counts as over the limit
# A message is one line of so many characters at most, without the path.
LONGEST = 1000
OUTCOMES = ("read", "refused", "another exception", "hang", "over 512 MiB", "crash", "message")


class Reader(NamedTuple):
    """Whole files by name, bombs by name, the name of the file on the disk, and what reads it."""

    whole: Callable[[], files.Bytes]
    bombs: Callable[[], files.Bytes]
    name: str
    read: Callable[[Path], Any]
    programs: bool = False


def folder(path: Path, **fields: Any) -> Any:
    """Read pictures as the data set `folder` does."""
    config = default_config()
    with tempfile.TemporaryDirectory() as cache:
        config.data.update(
            {"name": "folder", "dir": str(path), "channels": 1, "image_size": 8, "cache": cache, **fields}
        )
        return build_loader(config)()


def one_picture(path: Path) -> Any:
    """Read a folder of one spoilt picture and eleven good ones."""
    for i in range(11):
        (path.parent / f"{i:02d}.png").write_bytes(files.picture("PNG", "L"))
    return folder(path.parent, channels=3)


def attributes(path: Path) -> Any:
    """Read a zip of good pictures with a spoilt attributes.csv."""
    zipped = path.with_name("x.zip")
    zipped.write_bytes(files.archive(0, path.read_bytes()))
    return folder(zipped)


def ema(path: Path) -> Any:
    """Read EMA parameters."""
    shapes = {name: np.asarray(array) for name, array in ema_arrays().items()}
    return ema_files.read_ema(path, "prior", shapes, "--workdir")


def ema_arrays() -> dict[str, np.ndarray]:
    """Parameters of a stage."""
    return {"kernel": np.ones((3, 4), np.float32), "n": np.asarray([3])}


def ema_file() -> files.Bytes:
    """An ema.safetensors."""
    with tempfile.TemporaryDirectory() as folder:
        ema_files.write_ema(Path(folder, "x"), "prior", ema_arrays(), 3, {"images": 3})
        return {"ema": Path(folder, "x").read_bytes()}


def network(path: Path) -> Any:
    """Read the network in the file of a whole training, and pass over all else."""
    wanted = lambda name: name.startswith(("state_dict/ema_model.", "ema/shadow_params/"))
    return read_arrays(path, wanted)


def moments(path: Path) -> Any:
    """Read cached moments; damaged ones are made again."""
    from sde_vae.metrics.sets.frechet import Moments

    key = {"dataset": "d", "split": "s", "n": 4, "extractor": "e"}
    make = lambda: Moments(4, np.zeros(3), np.eye(3))
    place = path.parent / folder_name(key) / "moments.npz"
    cached_moments(path.parent, key, make)
    place.write_bytes(path.read_bytes())
    return cached_moments(path.parent, key, make)


def piece(path: Path) -> Any:
    """Read a piece of an array of an evaluation; a damaged one is made again."""
    cache = ResumeCache(path.parent / "cache", {})
    make = lambda: np.zeros((4, 2))
    cache.array("x", range(4), make)
    for place in (path.parent / "cache").rglob("*.np[yz]"):
        place.write_bytes(path.read_bytes())
    return cache.array("x", range(4), make)


READERS = {
    "pickle": Reader(files.pickles, bombs.pickles, "x.pkl", read_arrays, programs=True),
    "torch": Reader(files.torch_files, bombs.torch_zips, "x.pth", read_arrays),
    "training": Reader(files.training_files, bombs.torch_zips, "x.ckpt", network),
    "safetensors": Reader(files.safetensors_files, bombs.safetensors_files, "x.safetensors", read_arrays),
    "ema.safetensors": Reader(ema_file, bombs.safetensors_files, "ema.safetensors", ema),
    "msgpack": Reader(files.msgpack_files, bombs.msgpack_files, "x.msgpack", lambda path: read_flax(path, bool)),
    "npy": Reader(files.npy_files, bombs.npy_files, "x.npy", piece),
    "npz": Reader(files.moments_file, bombs.npz_files, "x.npz", moments),
    "zip of pictures": Reader(files.archives, bombs.archives, "x.zip", folder),
    "picture": Reader(files.pictures, bombs.pictures, "x.png", one_picture),
    "attributes.csv": Reader(files.table, bombs.tables, "attributes.csv", attributes),
    "idx": Reader(files.idx_files, bombs.idx_files, "x.gz", lambda path: read_idx(path.with_suffix(""), 3)),
    "config.json": Reader(files.config, bombs.texts, "config.json", lambda path: trained_config(path.parent)),
    "metrics.jsonl": Reader(files.rows, bombs.texts, "metrics.jsonl", logs.read),
}


def cases(name: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield (what it is, content): the bombs, then `count` files made from the seeds 0, 1, ..."""
    reader = READERS[name]
    yield from reader.bombs().items()
    whole = list(reader.whole().items())
    for seed in range(count if whole else 0):
        rng = np.random.default_rng([seed, *name.encode()])
        if reader.programs and seed % 2:
            yield f"program {seed}", files.program(rng)
        else:
            kind, data = whole[seed % len(whole)]
            yield f"{kind}, seed {seed}", files.spoilt(data, rng)


def outcome(name: str, data: bytes) -> tuple[str, str]:
    """Read one file. Return (one of OUTCOMES, what was said)."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in" / reader.name
        path.parent.mkdir()
        path.write_bytes(data)
        if name == "idx" and data[:2] != b"\x1f\x8b":
            path = path.rename(path.with_suffix(""))
        try:
            reader.read(path if path.suffix else path.with_suffix(".gz"))
        except BadInput as error:
            said = str(error).replace(folder, "")
            if isinstance(error.__cause__, MemoryError) or isinstance(error.__context__, MemoryError):
                return "over 512 MiB", said
            fits = len(printable(said)) <= LONGEST
            return "refused" if fits else "message", said[: 2 * LONGEST]
        except TimeoutError:
            return "hang", f"over {SECONDS:g} s"
        except MemoryError as error:
            return "over 512 MiB", repr(error)
        # Whatever escapes a reader is what this looks for; a panic of Rust is no Exception.
        except BaseException as error:
            return "another exception", f"{type(error).__name__}: {error}"[:LONGEST]
    return "read", ""


def expired(number: int, frame: Any) -> None:
    raise TimeoutError


def child(name: str, count: int, first: int) -> None:
    """Read the files from `first` on, and print a line of JSON for each."""
    warnings.simplefilter("ignore")
    say = sys.stdout
    sys.stdout = sys.stderr
    signal.signal(signal.SIGALRM, expired)
    # The imports that a first reading makes, and its threads.
    outcome(name, next(iter(READERS[name].whole().values()), b""))
    # Address space is not memory: a thread takes some and does not use it. This stops what asks for all that there is.
    resource.setrlimit(resource.RLIMIT_AS, (1024 * memory("VmSize") + ASKED * 2**20,) * 2)
    for i, (label, data) in enumerate(cases(name, count)):
        if i < first:
            continue
        say.write(json.dumps([i, label]) + "\n")
        say.flush()
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            result = outcome(name, data)
        except TimeoutError:
            result = ("hang", f"over {SECONDS:g} s")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if (used := (memory("VmHWM") - before) // 1024) > MEBIBYTES:
            result = (OUTCOMES[4], f"{used} MiB")
        gc.collect()
        say.write(json.dumps(result) + "\n")
        say.flush()


def memory(name: str) -> int:
    """Return a figure of /proc/self/status, in KiB: VmRSS now, VmHWM at its most."""
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name))


def results(name: str, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield (label, outcome, what was said) of every file; a process that dies or hangs is followed by another."""
    first = 0
    while True:
        words = ["-m", "benchmarks.faults.readers", "--child", name, "--files", str(count), "--first", str(first)]
        process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        begun = None
        assert process.stdout is not None
        timer = threading.Timer(60, process.kill)
        timer.start()
        for line in process.stdout:
            found = json.loads(line)
            timer.cancel()
            # Five times the limit: a reader that does not return to Python.
            timer = threading.Timer(5 * SECONDS, process.kill)
            timer.start()
            if begun is None:
                begun = found
            else:
                yield begun[1], *found
                first, begun = begun[0] + 1, None
        timer.cancel()
        process.wait()
        if begun is None:
            if process.returncode:
                yield "the reader's own process", "crash", f"exit code {process.returncode}"
            return
        yield begun[1], "hang" if process.returncode == -signal.SIGKILL else "crash", f"exit code {process.returncode}"
        first = begun[0] + 1


def main() -> int:
    parser = parser_of("benchmarks.faults.readers", __doc__)
    parser.add_argument("--files", type=int, default=400, help="spoilt files a reader, beside the bombs")
    parser.add_argument("--only", nargs="*", default=[], help="readers; nothing is recorded then")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.files, options.first)
        return 0
    found: dict[str, Counter] = {}
    wrong = []
    for name in options.only or READERS:
        found[name] = Counter()
        for label, kind, said in results(name, options.files):
            found[name][kind] += 1
            if kind not in ("read", "refused"):
                wrong.append(f"{name}: {label}: {kind}: {said[:200]!a}")
                print(wrong[-1], flush=True)
        print(name, dict(found[name]), flush=True)
    if not options.only:
        report(found, wrong, options.files)
    return int(bool(wrong))


def report(found: dict[str, Counter], wrong: list[str], count: int) -> None:
    """Write the section of the page: a row a reader."""
    from benchmarks.faults.record import record_section

    total = sum(found.values(), Counter())
    rows = [
        [name, str(sum(counts.values())), *(str(counts[kind]) for kind in OUTCOMES)]
        for name, counts in {**found, "all": total}.items()
    ]
    record_section(
        "readers",
        "Readers of foreign files, fuzzed",
        ["file", "files", *OUTCOMES],
        rows,
        f"{count} spoilt files a reader (flipped bits, cuts, splices, numbers at the edges of their types, words that parsers stumble "
        "over; for pickles also random programs), and bombs made by hand. Each has "
        f"{SECONDS:g} s and {MEBIBYTES} MiB. Refused: BadInput, in one printable line of at most {LONGEST} characters. Read: a value, or "
        "for caches the same made again.",
        {"wrong": wrong},
    )


if __name__ == "__main__":
    sys.exit(main())
