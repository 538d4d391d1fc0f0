"""Where the time of a training step goes: by kind of operation, in ours and in the same networks in PyTorch, and the share of the peak.

    python -m benchmarks.speed.operations [--size 28x28]

Each library has a process of its own, on one core: the times of its operations then add up to a step. They are those of its own profiler,
and its names of operations say the kinds. The share of the peak is the operations of our step, as XLA counts them before it optimises, over
the seconds of a step and the operations a second of a product of two large matrices in float32, the faster library's. Writes
benchmarks/results/operations.{json,md}. Nothing else should run meanwhile.
"""

import gzip
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.record import ROOT, record
from benchmarks.speed.step_cases import SIZES
from benchmarks.speed.step_worker import of_jax, of_torch, restrict
from benchmarks.speed.summary import operations

NAME, STEPS, ENGINES = "operations", 3, ("jax", "torch")
OF = ("prior", "encoder")
# Kind -> words in the names of its operations, in the order in which they are looked for. A name without any is elementwise.
WORDS = {
    # "conv" alone would be in XLA's conversions of types too.
    "convolutions": ("convolution", "conv_general", "conv2d"),
    "products": ("dot", "mm", "linear"),
    "sums and norms": ("reduce", "norm", "sum", "mean", "softmax"),
    "copies": ("copy", "transpose", "concatenate", "cat", "slice", "clone", "contiguous"),
}
REST = "elementwise"
# The factors of the product that is taken as the peak are square.
WIDTH = 2048


def kind_of(operation: str) -> str:
    """Return the kind of an operation of XLA or of PyTorch.

    >>> [kind_of(name) for name in ("add_reduce_fusion.3", "aten::addmm", "conv_general_dilated.7", "convert_fusion")]
    ['sums and norms', 'products', 'convolutions', 'elementwise']
    """
    return next((kind for kind, words in WORDS.items() if any(word in operation for word in words)), REST)


def profile_jax(step: Callable[[], None]) -> dict[str, float]:
    """Operation -> seconds of one step."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                step()
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    found = Counter()
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
            found[event["name"]] += event["dur"] / 1e6 / STEPS
    return dict(found)


def profile_torch(step: Callable[[], None]) -> dict[str, float]:
    """The same of PyTorch."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(STEPS):
            step()
    return {event.key: event.self_cpu_time_total / 1e6 / STEPS for event in found.key_averages()}


def peak(engine: str) -> float:
    """Operations a second of a product of matrices in float32."""
    import jax.numpy as jnp
    import torch

    from benchmarks.speed.running import timed

    a = jnp.ones((WIDTH, WIDTH)) if engine == "jax" else torch.ones(WIDTH, WIDTH)
    product = (lambda: (a @ a).block_until_ready()) if engine == "jax" else lambda: a @ a
    timed(product, 2)
    return 2 * WIDTH**3 / statistics.median(timed(product, 1) for _ in range(9))


def counted(kind: str, size: str) -> float:
    """The operations of our step."""
    from benchmarks.speed.plan import abstract_step
    from benchmarks.speed.step_cases import case

    of = case(kind, size)
    return abstract_step(of.stage, of.frozen, of.experiment.shape, len(of.batch.x)).cost_analysis()["flops"]


def measure(engine: str, kind: str, size: str) -> dict[str, Any]:
    """The seconds of a step, those of each operation, and the peak."""
    from benchmarks.speed.running import timed

    _, step, _ = of_jax(kind, size) if engine == "jax" else of_torch(kind, size, 1, compiled=False)
    timed(step, 2)
    seconds = statistics.median(timed(step, STEPS) for _ in range(5))
    found = {"seconds": seconds, "operations": (profile_jax if engine == "jax" else profile_torch)(step)}
    found |= {"peak": peak(engine)}
    return found | ({"count": counted(kind, size)} if engine == "jax" else {})


def in_a_process(engine: str, kind: str, size: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.speed.operations", "--only", engine, kind, "--size", size]
    return json.loads(
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


def rows_of(kind: str, size: str) -> list[dict[str, Any]]:
    """A row a library: the milliseconds of a step, of each kind of operation, and the share of the peak."""
    found = {engine: in_a_process(engine, kind, size) for engine in ENGINES}
    best, count = max(of["peak"] for of in found.values()), found["jax"]["count"]
    rows = []
    for engine, of in found.items():
        kinds = dict.fromkeys([*WORDS, REST], 0.0)
        for name, seconds in of["operations"].items():
            kinds[kind_of(name)] += 1000 * seconds
        largest = sorted(of["operations"].items(), key=lambda item: -item[1])[:5]
        share = count / of["seconds"] / best
        row = {"step": kind, "size": size, "library": engine, "ms": 1000 * of["seconds"], "share_of_peak": share}
        rows.append(row | {"kinds": kinds, "largest": {name: 1000 * seconds for name, seconds in largest}})
    return rows


def main() -> None:
    parser = parser_of("benchmarks.speed.operations", __doc__)
    parser.add_argument("--size", choices=SIZES, default="28x28")
    parser.add_argument("--only", nargs=2, metavar=("ENGINE", "STEP"), help="print the figures of one library and step")
    options = parser.parse_args()
    if options.only:
        restrict(1)
        print(json.dumps(measure(*options.only, options.size)))
        return
    rows = [row for kind in OF for row in rows_of(kind, options.size)]
    (head, *lines), caption = operations(rows)
    largest = "; ".join(
        f"{row['step']}, {row['library']}: " + ", ".join(f"{name} {ms:.1f}" for name, ms in row["largest"].items())
        for row in rows
    )
    notes = f"{caption} The largest operations, in ms: {largest}."
    record(NAME, "Where the time of a step goes", {"rows": rows}, head, lines, notes)


if __name__ == "__main__":
    main()
