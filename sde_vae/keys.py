"""The streams of random numbers of a run: one for each purpose, all made from config.seed here.

In JAX, split(key)[i] equals fold_in(key, i). Two purposes that derive their keys from one key, each in its own way, may then have equal
ones. So no purpose has the key of the seed itself. Each has `stream(seed, NAME)`, and may split it or fold into it as it likes, but
not both (a test reads the code for that). The place of a name in a list is its number, which is kept: new names go to the end.

What is of one purpose shares its stream, as the keys of the method's bound and of its prior's do, whose difference is reported.
"""

import jax
import numpy as np

from sde_vae.types import PRNGKey

STREAMS = (
    # The first three were keys before the streams had names: training without a prior gives the numbers that it gave.
    "initialise/encoder",
    "train/encoder",
    "synthetic images",
    "initialise/prior",
    "train/prior",
    "initialise/correction",
    "train/correction",
    "initialise/latent",
    "train/latent",
    "preview",
    "decode",
    "sample",
    "sample latent codes",
    "bound",
    "importance",
    "elbo_vs_steps",
    "elbo_vs_steps, fitted variances",
    "iterated_decoding",
    "noise_levels",
    "trajectory_consistency",
    "observe",
    "restore",
    "diffused y",
    "noise of diffused y",
)
# Of numpy's generators. The first was that of the seed alone.
GENERATORS = (
    "posterior",
    "posterior, several decodings",
    "posterior of training images",
    "latent_prior",
    "shuffle",
    "total correlation",
    "directions",
)


def stream(seed: int, name: str) -> PRNGKey:
    """Return the key of a purpose, one of STREAMS, in the run of this seed. Raises ValueError for a name that is not listed.

    >>> jax.random.key_data(stream(0, "decode")).tolist() == jax.random.key_data(stream(0, "sample")).tolist()
    False
    """
    return jax.random.fold_in(jax.random.key(seed), _number(name, STREAMS))


def generator(seed: int, name: str) -> np.random.Generator:
    """Return a numpy generator of a purpose, one of GENERATORS. Raises ValueError for a name that is not listed.

    >>> bool(generator(0, "posterior").integers(9) == np.random.default_rng(0).integers(9))
    True
    """
    return np.random.default_rng((seed, _number(name, GENERATORS)))


def _number(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise ValueError(f"no stream of random numbers is called {name!r}; known: {', '.join(names)}")
    return names.index(name)
