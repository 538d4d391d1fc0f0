"""Names that the examples in the docstrings use without importing them."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def example_names(doctest_namespace):
    import jax
    import jax.numpy as jnp
    import numpy as np

    import sde_vae

    doctest_namespace.update(jax=jax, jnp=jnp, np=np, sde_vae=sde_vae)
