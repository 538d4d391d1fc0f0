"""Throughput of the metric networks, in images a second.

    python -m benchmarks.speed.extractors

The FID's Inception runs with random weights: the arithmetic is the same.
"""

import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

from benchmarks.record import record
from sde_vae.metrics.image.lpips import load_lpips
from sde_vae.metrics.networks.inception_weights import body_shapes
from sde_vae.metrics.sets.efficientnet import SIDE, load_efficientnet
from sde_vae.metrics.sets.inception import load_inception

ROUNDS = 3


def inception():
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in body_shapes().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        safetensors.numpy.save_file(weights, path)
        return load_inception(path).features


def main() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.uniform(0, 1, (32, 64, 64, 3)).astype(np.float32)
    small = rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    lpips = {name: load_lpips(name).distance for name in ("alex", "vgg")}
    efficientnet, fid = load_efficientnet().features, inception()
    runs = {
        "lpips_alex, 64x64 (pairs)": lambda: lpips["alex"](pairs, pairs[::-1]),
        "lpips_vgg, 64x64 (pairs)": lambda: lpips["vgg"](pairs, pairs[::-1]),
        f"efflite0, 32x32 resized to {SIDE}": lambda: efficientnet(small),
        "fid (Inception), 32x32 resized to 299": lambda: fid(small),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        jax.block_until_ready(run())
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            rates[name].append(len(pairs) / (time.perf_counter() - start))
    rows = [[name, f"{statistics.median(values):.1f}"] for name, values in rates.items()]
    notes = f"Batches of {len(pairs)}, float32, medians of {ROUNDS} interleaved rounds."
    record("extractors", "The metric networks", {"images_per_second": rates}, ["network", "images/s ↑"], rows, notes)


if __name__ == "__main__":
    main()
