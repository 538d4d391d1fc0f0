"""Cases of a theorem that `make test` leaves to `make test-slow`, where others of their kind stand beside them."""

import pytest

from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP


def rarely(*values):
    """Each value as a case that is marked slow."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


# The two that are rare are variance preserving as VP is, or nearly; tests/diffusion/test_sdes.py holds the formulas of all.
SDES = [VP(), VE(), RectifiedFlow(), *rarely(CosineVP(), SubVP())]
