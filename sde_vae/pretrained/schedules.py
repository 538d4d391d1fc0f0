"""The SDE of a pre-trained model, from the plain values of its description."""

from collections.abc import Callable
from typing import Any

from sde_vae.diffusion.discrete_vp import discrete_vp
from sde_vae.diffusion.sdes import SDE, VE, VP, SubVP
from sde_vae.errors import choose

SCHEDULES: dict[str, Callable[..., SDE]] = {"discrete_vp": discrete_vp, "vp": VP, "sub_vp": SubVP, "ve": VE}


def sde_of(schedule: dict[str, Any]) -> SDE:
    """Return the SDE of a PriorSpec's schedule: {"name": ..., and the fields of that SDE}.

    >>> sde_of({"name": "ve", "sigma_min": 0.02, "sigma_max": 696.0})
    VE(sigma_min=0.02, sigma_max=696.0, t_min=1e-05, T=1.0)
    """
    values = {name: value for name, value in schedule.items() if name != "name"}
    return choose("schedule", schedule["name"], SCHEDULES)(**values)
