"""The CPU flag, and the case that needs it."""

import os
import platform as machine
import subprocess
import sys

import pytest

from sde_vae.runtime import CPU_FUSION_FLAG, prepare

# A batched product with a broadcast operand, then a reduction: see jax-ml/jax#39103.
BROKEN = """
import os, sys
from sde_vae import platform
if sys.argv[1] == "prepared":
    platform.prepare()
import jax, jax.numpy as jnp, numpy as np
worst = 0.0
for shape in [(16, 64, 64), (64, 128, 128)]:
    E = jax.random.normal(jax.random.key(0), shape)
    got = jax.jit(lambda E: ((E @ jnp.full_like(E, 0.5)) * E).sum(-1))(E)
    e = np.asarray(E, np.float64)
    want = ((e @ np.full_like(e, 0.5)) * e).sum(-1)
    worst = max(worst, float(np.nan_to_num(np.abs(np.asarray(got) - want), nan=np.inf).max() / np.abs(want).max()))
print(worst)
"""


def error(how):
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", BROKEN, how], env=env, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else float("inf")


def test_with_the_flag_the_broken_case_is_right():
    assert error("prepared") < 1e-5


@pytest.mark.skipif(machine.machine() != "x86_64", reason="the fault is x86's")
def test_without_the_flag_it_is_still_broken():
    """When this fails, jaxlib is mended: measure the flag's effect on speed, and drop it if there is none."""
    assert error("bare") > 1e-3


def test_the_users_own_value_stands(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_cpu_multi_thread_eigen=true {CPU_FUSION_FLAG}dot")
    prepare()
    assert os.environ["XLA_FLAGS"].count(CPU_FUSION_FLAG) == 1
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    prepare()
    assert os.environ["XLA_FLAGS"] == f"--xla_cpu_multi_thread_eigen=true {CPU_FUSION_FLAG}"
