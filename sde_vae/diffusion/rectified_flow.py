"""Rectified flow as a Gaussian path: x_t = (1 - t) x_0 + t eps (arXiv:2209.03003; flow matching, arXiv:2210.02747).

Its probability-flow ODE is dx / dt = E[eps - x_0 | x_t], which a network of the prediction "flow" gives. All else follows from alpha and
sigma as for any SDE: the reverse SDE, the bound, and Bayes' rule for scores.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE
from sde_vae.types import PerExample


@dataclasses.dataclass(frozen=True)
class RectifiedFlow(SDE):
    """The SDE with alpha = 1 - t and sigma = t: f = -1 / (1 - t) and g^2 = -sigma^2 dl/dt = 2 t / (1 - t).

    The path ends at t = 1 without any signal, where logSNR is -inf and f and g have no value. Training and sampling end at T < 1, where
    logSNR is `log_snr_min`. By default this is -10, as for CosineVP and nearly as for VP (-10.05). Starting from N(0, sigma(T)^2 I)
    instead of the law of x_T then costs at most KL = e^-10 |x_0|^2 / 2, which is 3.3e-5 bits per dimension of x_0 in [-1, 1]. A lower end
    costs steps on every grid that is uniform in logSNR, and digits: at -20 the rounding of t in float32 changes logSNR by 3e-3.

    >>> sde = RectifiedFlow()
    >>> round(sde.T, 4), sde.log_snr(jnp.array([0.5, sde.T])).round(3) + 0.0
    (0.9933, Array([  0., -10.], dtype=float32))
    """

    log_snr_min: float = -10.0
    t_min: float = 1e-3
    T: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        # log_snr = -2 logit(t)
        object.__setattr__(self, "T", 1 / (1 + math.exp(0.5 * self.log_snr_min)))

    def alpha(self, t: PerExample) -> PerExample:
        return 1 - t

    def sigma(self, t: PerExample) -> PerExample:
        return t

    def f(self, t: PerExample) -> PerExample:
        return -1 / (1 - t)

    def g(self, t: PerExample) -> PerExample:
        return jnp.sqrt(2 * t / (1 - t))

    def log_snr(self, t: PerExample) -> PerExample:
        return 2 * (jnp.log1p(-t) - jnp.log(t))

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        return jax.nn.sigmoid(-0.5 * log_snr)
