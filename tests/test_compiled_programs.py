"""Programs are kept: another seed, in training and in evaluation, compiles nothing that the first has compiled."""

import json
import os
import subprocess
import sys

import pytest

from sde_vae import runtime

CODE = """
import json, sys
import sde_vae
import jax
from sde_vae.cli import main
from tests.helpers.programs import cache_events
from tests.test_cli import SMALL

folder = sys.argv[1]
fields = SMALL | {"stages.prior.steps": 2, "stages.encoder.steps": 2, "eval.evaluators": ("reconstruction", "bits_per_dim")}
fields |= {"stages.prior.preview_every": 1, "stages.encoder.preview_every": 1, "optim.decay": "constant"}
found = {}
for mode, method in {"pmap": "score_vae", "data": "beta_vae", "fsdp": "beta_vae"}.items():
    for seed in (0, 1):
        asked = fields | {"parallel": mode, "seed": seed, "method": method}
        words = [f"--config.{name}={value}" for name, value in asked.items()]
        workdir = f"{folder}/{mode}_{seed}"
        for command in ("train", "eval") if mode == "pmap" else ("train",):
            # Programs that are in memory would not be looked for.
            jax.clear_caches()
            with cache_events() as events:
                assert main(["--config", "configs/scorevae_digits.py", "--workdir", workdir, "--mode", command, *words]) == 0
            found[f"{command} {mode} {seed}"] = events
print(json.dumps(found))
"""


@pytest.mark.slow
def test_another_seed_finds_every_program(tmp_path):
    env = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": f"{runtime.CPU_FUSION_FLAG} --xla_force_host_platform_device_count=2",
    }
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    events = json.loads(done.stdout.splitlines()[-1])
    # Of two stages of score_vae under pmap, and of one of beta_vae in each of the other modes.
    programs = [path.name for path in (tmp_path / "cache").glob("*-cache")]
    assert {name: sum(p.startswith(name) for p in programs) for name in ("jit__fun-", "jit_update-")} == {
        "jit__fun-": 2,
        "jit_update-": 2,
    }
    for what in ("train pmap", "train data", "train fsdp", "eval pmap"):
        assert events[f"{what} 0"]["misses"] > 0, events
        assert events[f"{what} 1"]["misses"] == 0, events
        assert events[f"{what} 1"]["hits"] > 20, events


def test_the_command_line_keeps_its_programs(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    env |= {"HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    words = ["main.py", "--workdir", "digits", "--mode", "sample", "--n", "2", "--output", str(tmp_path / "two.npz")]
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / ".cache" / "sde_vae").glob("*/jit_generate-*-cache"))


def test_the_cache_has_a_limit_and_drops_what_was_used_longest_ago(tmp_path):
    """Also a cache that was kept when there was no limit, whose programs have no time of their last use."""
    code = """
import jax, jax.numpy as jnp
from pathlib import Path
from jax.experimental.compilation_cache import compilation_cache
from sde_vae import runtime
folder = Path.home() / ".cache" / "sde_vae"
for limit in (-1, 15_000):
    runtime.CACHE_BYTES = limit
    runtime.enable_compilation_cache()
    compilation_cache.reset_cache()
    for i in range(8):
        jax.jit(lambda x: jnp.sin(x) + i + limit)(jnp.ones(4)).block_until_ready()
    sizes = [p.stat().st_size for p in folder.rglob("*-cache")]
    print(len(sizes), sum(sizes))
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    env |= {"HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (many, unbounded), (few, bounded) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert many >= 8
    assert unbounded > 15_000 >= bounded
    assert few > 0
