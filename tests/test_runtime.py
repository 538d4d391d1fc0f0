"""The CPU flag, the case that needs it, and what is said where it comes too late."""

import json
import os
import subprocess
import sys

import pytest

from sde_vae.runtime import CPU_FUSION_FLAG, affected, prepare

# A batched product with a broadcast operand, then a reduction: see jax-ml/jax#39103.
BROKEN = """
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
# Twice, and a module below: one warning in all.
LATE = """
import json, warnings
import jax
jax.devices()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import sde_vae
    import sde_vae.diffusion.sdes
    from sde_vae import runtime
    runtime.prepare()
print(json.dumps([str(w.message) for w in caught if "sde_vae" in str(w.message)]))
"""
on_affected = pytest.mark.skipif(not affected(), reason="the fault is x86's")


def run(code, **env):
    """Run the code in a fresh interpreter, in which no one has set the flag."""
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run([sys.executable, "-c", code], env=plain | env, capture_output=True, text=True)


def error(code):
    done = run(code)
    return float(done.stdout) if done.returncode == 0 else float("inf")


def test_after_import_sde_vae_the_broken_case_is_right():
    assert error("import sde_vae\n" + BROKEN) < 1e-5


def test_after_the_import_of_a_module_below_it_is_right():
    assert error("from sde_vae.diffusion.sdes import VP\n" + BROKEN) < 1e-5


@on_affected
def test_without_the_import_it_is_still_wrong():
    """When this fails, jaxlib is mended: measure the flag's effect on speed, and drop it if there is none."""
    assert error(BROKEN) > 1e-3


@on_affected
def test_an_import_that_comes_too_late_warns_once_and_says_what_to_do():
    (message,) = json.loads(run(LATE).stdout)
    assert "JAX started before `import sde_vae`" in message
    assert "restart, and import sde_vae first" in message
    assert f"XLA_FLAGS={CPU_FUSION_FLAG}" in message


def test_an_import_after_jax_but_before_its_backend_is_in_time():
    assert json.loads(run(LATE.replace("jax.devices()\n", "")).stdout) == []
    assert error("import jax, sde_vae\n" + BROKEN) < 1e-5


def test_a_flag_that_the_user_has_set_is_not_warned_of():
    assert json.loads(run(LATE, XLA_FLAGS=f"{CPU_FUSION_FLAG}dot").stdout) == []


def test_the_users_own_value_stands(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_cpu_multi_thread_eigen=true {CPU_FUSION_FLAG}dot")
    prepare()
    assert os.environ["XLA_FLAGS"].count(CPU_FUSION_FLAG) == 1


def test_other_flags_are_kept(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    monkeypatch.setattr("sde_vae.runtime._backend_started", lambda: False)
    prepare()
    assert os.environ["XLA_FLAGS"] == f"--xla_cpu_multi_thread_eigen=true {CPU_FUSION_FLAG}"
