"""True counterfactuals of cartoon faces."""

from sde_vae.data.datasets.avatar_faces import render
from sde_vae.data.datasets.avatar_factors import FACTORS, factors


def counterfactual(seed, name, value, size):
    """The face of `seed` with one factor changed to a named value: uint8 [size, size, 3]."""
    return render({**factors(seed), name: FACTORS[name].index(value)}, size)
