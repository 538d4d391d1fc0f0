"""The whole suite runs on 8 simulated CPU devices, with silent broadcasting an error."""

import os

from sde_vae import runtime

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
runtime.prepare()

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
runtime.enable_compilation_cache()


@pytest.fixture
def x64():
    """Float64 for the oracles: their theorems hold to rounding, so the rounding had better be small."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def use_devices(monkeypatch):
    """use_devices(n): from now on this host has n devices."""
    all_of_them = jax.local_devices()
    return lambda n: monkeypatch.setattr(jax, "local_devices", lambda: all_of_them[:n])


@pytest.fixture
def one_device(use_devices):
    """This host has one device, so that the sizes of batches are those that were asked for."""
    use_devices(1)
