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
