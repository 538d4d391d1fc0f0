"""Time and memory of loading a pre-trained model: a random UNet2DModel of the size of google/ddpm-cat-256 (113.7 M parameters).

    python -m benchmarks.speed.load_prior [--folder runs/ddpm_cat_256]

Writes the model with diffusers, as safetensors and as .bin, and loads each in a process of its own. Writes
benchmarks/results/load_prior.{json,md}. Needs the extra `test`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.record import record
from sde_vae.errors import exit_code

# The options of google/ddpm-cat-256.
OPTIONS: dict[str, Any] = {
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": (*("DownBlock2D",) * 4, "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *("UpBlock2D",) * 4),
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
}
# Imports and an empty array come first: what is measured is the model's.
LOAD = """
import json, pathlib, sys, time
import jax, jax.numpy as jnp, sde_vae
from sde_vae.commands.priors import load_prior
jax.device_put(jnp.zeros(1)).block_until_ready()
status = lambda field: 1024 * int(pathlib.Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])
# Sets the peak to what is resident now (Linux).
pathlib.Path("/proc/self/clear_refs").write_text("5")
before, start = status("VmRSS"), time.perf_counter()
prior = load_prior(sys.argv[1])
jax.block_until_ready(prior.params)
print(json.dumps({"seconds": time.perf_counter() - start, "peak": status("VmHWM") - before,
                  "parameters": sum(a.size for a in jax.tree.leaves(prior.params))}))
"""


def write_model(folder: Path) -> dict[str, Path]:
    """Write the model with random weights in both formats, unless it is there: name -> folder."""
    folders = {"safetensors": folder / "safetensors", "bin": folder / "bin"}
    if not all((path / "model_index.json").exists() for path in folders.values()):
        import torch
        from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

        torch.manual_seed(0)
        pipeline = DDPMPipeline(unet=UNet2DModel(**OPTIONS), scheduler=DDPMScheduler())
        for name, path in folders.items():
            pipeline.save_pretrained(path, safe_serialization=name == "safetensors")
    return folders


def load(path: Path) -> dict[str, Any]:
    """Seconds, peak of the memory over that before, and parameters, of a process that loads the model."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder: Path) -> None:
    figures, rows = {}, []
    for name, path in write_model(folder).items():
        size = sum(file.stat().st_size for file in (path / "unet").iterdir())
        found = load(path) | {"file": size}
        figures[name] = found
        cells = [f"{found['parameters'] / 1e6:.1f} M", f"{size / 1e6:.0f} MB", f"{found['seconds']:.1f} s"]
        rows.append([name, *cells, f"{found['peak'] / 1e6:.0f} MB", f"{found['peak'] / size:.2f}"])
    head = ["file", "parameters", "size", "load", "peak of memory", "peak / size"]
    notes = "`sde_vae.load_prior` in a process of its own, one run each; the peak is that of resident memory over what was there before, the mapped file included."
    record("load_prior", "Loading a model of the size of google/ddpm-cat-256", figures, head, rows, notes)


def main() -> int:
    parser = parser_of("benchmarks.speed.load_prior", __doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/ddpm_cat_256"))
    options = parser.parse_args()
    return exit_code(lambda: measure(options.folder.expanduser()))


if __name__ == "__main__":
    sys.exit(main())
