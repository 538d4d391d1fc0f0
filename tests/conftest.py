"""The whole suite runs on 8 simulated CPU devices, with silent broadcasting an error."""

import gc
import os

from sde_vae import runtime
from tests.helpers import compiling

os.environ["XLA_FLAGS"] = compiling.flags(devices=8, before=os.environ.get("XLA_FLAGS", ""))
# diffusers reads and writes folders here, and asks no server.
os.environ["HF_HUB_OFFLINE"] = "1"
runtime.prepare()
programs = compiling.prepare()

import jax
import jax.numpy as jnp
import pytest

from sde_vae import devices

# Traced programs stay: to look for garbage among them at every turn costs a fifth of the time.
gc.set_threshold(50_000, 20, 20)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 for the oracles: their theorems hold to rounding, so the rounding had better be small."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def programs_close_over_no_parameters(monkeypatch):
    """Whatever runs over the devices takes parameters and keys as arguments: each run would else compile programs of its own."""
    plain = devices._compiled

    def checked(function, mesh):
        program, seen = plain(function, mesh), []

        def run(shared, rows):
            if not seen:
                seen.append(True)
                constants = program.trace(shared, rows).jaxpr.consts
                keys = [c for c in constants if jnp.issubdtype(c.dtype, jax.dtypes.prng_key)]
                size = sum(c.nbytes for c in constants)
                assert not keys, f"{function}: closes over a key"
                # Grids, and the matrices of tests, are smaller than the smallest networks.
                assert size < 20_000, f"{function}: closes over {size} bytes, {[c.shape for c in constants]}"
            return program(shared, rows)

        return run

    monkeypatch.setattr(devices, "_compiled", checked)


@pytest.fixture
def use_devices(monkeypatch):
    """use_devices(n): from now on this host has n devices."""
    all_of_them = jax.local_devices()
    return lambda n: monkeypatch.setattr(jax, "local_devices", lambda: all_of_them[:n])


@pytest.fixture
def one_device(use_devices):
    """This host has one device, so that the sizes of batches are those that were asked for."""
    use_devices(1)
