"""Forward SDEs dx = f(t) x dt + g(t) dw, as closed forms.

Each is a frozen dataclass that knows its perturbation kernel x_t | x_0 ~ N(alpha(t) x_0, sigma(t)^2 I); everything else
follows from it (Song et al. 2021, arXiv:2011.13456; Kingma et al. 2021, arXiv:2107.00630):

    log_snr(t) = log(alpha^2 / sigma^2)       strictly decreasing in t
    f(t)       = d log alpha / dt
    g(t)^2     = d sigma^2 / dt - 2 f sigma^2 = -sigma^2 d log_snr / dt

Times and results have shape [batch]. Training and sampling run over [t_min, T]; t_min is where the noise is small against
the data and the closed forms are still comfortable in float32.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.types import PerExample, Points


class SDE(abc.ABC):
    """The contract. Subclasses are final and give closed forms."""

    t_min: float
    T: float

    @abc.abstractmethod
    def alpha(self, t: PerExample) -> PerExample:
        """Scale of x_0 in x_t."""

    @abc.abstractmethod
    def sigma(self, t: PerExample) -> PerExample:
        """Standard deviation of the noise in x_t."""

    @abc.abstractmethod
    def f(self, t: PerExample) -> PerExample:
        """Drift coefficient: the drift is f(t) x."""

    @abc.abstractmethod
    def g(self, t: PerExample) -> PerExample:
        """Diffusion coefficient."""

    @abc.abstractmethod
    def log_snr(self, t: PerExample) -> PerExample:
        """log(alpha^2 / sigma^2)."""

    @abc.abstractmethod
    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        """The inverse of log_snr."""


@dataclasses.dataclass(frozen=True)
class VP(SDE):
    """Variance preserving, linear beta (arXiv:2011.13456, eq. 11): with B(t) = int_0^t beta, alpha = exp(-B/2)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    T: float = 1.0

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.exp(-0.5 * _linear_B(self, t))

    def sigma(self, t: PerExample) -> PerExample:
        return jnp.sqrt(-jnp.expm1(-_linear_B(self, t)))

    def f(self, t: PerExample) -> PerExample:
        return -0.5 * _linear_beta(self, t)

    def g(self, t: PerExample) -> PerExample:
        return jnp.sqrt(_linear_beta(self, t))

    def log_snr(self, t: PerExample) -> PerExample:
        # snr = e^-B / (1 - e^-B) = 1 / (e^B - 1)
        return -jnp.log(jnp.expm1(_linear_B(self, t)))

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        return _linear_t(self, jax.nn.softplus(-log_snr))


@dataclasses.dataclass(frozen=True)
class SubVP(SDE):
    """Sub-VP (arXiv:2011.13456, eq. 13): alpha as in VP, sigma = 1 - exp(-B), which is the square of VP's."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    T: float = 1.0

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.exp(-0.5 * _linear_B(self, t))

    def sigma(self, t: PerExample) -> PerExample:
        return -jnp.expm1(-_linear_B(self, t))

    def f(self, t: PerExample) -> PerExample:
        return -0.5 * _linear_beta(self, t)

    def g(self, t: PerExample) -> PerExample:
        return jnp.sqrt(-_linear_beta(self, t) * jnp.expm1(-2 * _linear_B(self, t)))

    def log_snr(self, t: PerExample) -> PerExample:
        B = _linear_B(self, t)
        return -B - 2 * jnp.log(-jnp.expm1(-B))

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        # alpha / (1 - alpha^2) = r := e^{l/2} is 2 sinh(B/2) = 1/r.
        return _linear_t(self, 2 * jnp.arcsinh(0.5 * jnp.exp(-0.5 * log_snr)))


@dataclasses.dataclass(frozen=True)
class CosineVP(SDE):
    """Variance preserving, alpha = cos(theta), sigma = sin(theta), theta linear in t.

    Nichol & Dhariwal's cosine schedule (arXiv:2102.09672) with both ends of its logSNR stated instead of clipped, as in
    simple diffusion (arXiv:2301.11093): theta(0) and theta(T) are the angles of log_snr_max and log_snr_min.
    """

    log_snr_min: float = -10.0
    log_snr_max: float = 20.0
    t_min: float = 1e-3
    T: float = 1.0

    @property
    def _theta_0(self) -> float:
        return math.atan(math.exp(-0.5 * self.log_snr_max))

    @property
    def _theta_rate(self) -> float:
        return (math.atan(math.exp(-0.5 * self.log_snr_min)) - self._theta_0) / self.T

    def _theta(self, t: PerExample) -> PerExample:
        return self._theta_0 + self._theta_rate * t

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.cos(self._theta(t))

    def sigma(self, t: PerExample) -> PerExample:
        return jnp.sin(self._theta(t))

    def f(self, t: PerExample) -> PerExample:
        return -self._theta_rate * jnp.tan(self._theta(t))

    def g(self, t: PerExample) -> PerExample:
        return jnp.sqrt(2 * self._theta_rate * jnp.tan(self._theta(t)))

    def log_snr(self, t: PerExample) -> PerExample:
        return -2 * jnp.log(jnp.tan(self._theta(t)))

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        return (jnp.arctan(jnp.exp(-0.5 * log_snr)) - self._theta_0) / self._theta_rate


@dataclasses.dataclass(frozen=True)
class VE(SDE):
    """Variance exploding (arXiv:2011.13456, eq. 9): alpha = 1, sigma geometric from sigma_min to sigma_max."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 1e-5
    T: float = 1.0

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.ones_like(t)

    def sigma(self, t: PerExample) -> PerExample:
        return self.sigma_min * jnp.exp(self._log_ratio * t / self.T)

    def f(self, t: PerExample) -> PerExample:
        return jnp.zeros_like(t)

    def g(self, t: PerExample) -> PerExample:
        return self.sigma(t) * math.sqrt(2 * self._log_ratio / self.T)

    def log_snr(self, t: PerExample) -> PerExample:
        return -2 * (math.log(self.sigma_min) + self._log_ratio * t / self.T)

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        return self.T * (-0.5 * log_snr - math.log(self.sigma_min)) / self._log_ratio


def log_snr_rate(sde: SDE, t: PerExample) -> PerExample:
    """-d log_snr / dt = g^2 / sigma^2 > 0, the Jacobian between the measures dt and d log_snr."""
    return jnp.square(sde.g(t) / sde.sigma(t))


def log_snr_range(sde: SDE) -> tuple[float, float]:
    """(log_snr(T), log_snr(t_min)): the lowest and the highest logSNR that training and sampling visit."""
    # Constants of the SDE: evaluated outside any trace, so that they are plain floats.
    with jax.ensure_compile_time_eval():
        low, high = sde.log_snr(jnp.asarray([sde.T, sde.t_min]))
        return float(low), float(high)


def diffuse(sde: SDE, x_0: Points, t: PerExample, eps: Points) -> Points:
    """x_t = alpha x_0 + sigma eps."""
    return expand(sde.alpha(t), x_0) * x_0 + expand(sde.sigma(t), eps) * eps


def terminal(sde: SDE, eps: Points) -> Points:
    """x_T ~ pi := N(0, sigma(T)^2 I) from standard normal eps: one rule for all SDEs (sigma(T) is 1 for VP, sigma_max for VE)."""
    T = jnp.full(eps.shape[:1], sde.T, eps.dtype)
    return expand(sde.sigma(T), eps) * eps


def _linear_beta(sde: VP | SubVP, t: PerExample) -> PerExample:
    return sde.beta_min + t * (sde.beta_max - sde.beta_min) / sde.T


def _linear_B(sde: VP | SubVP, t: PerExample) -> PerExample:
    """B(t) = int_0^t beta(s) ds."""
    return t * (sde.beta_min + 0.5 * t * (sde.beta_max - sde.beta_min) / sde.T)


def _linear_t(sde: VP | SubVP, B: PerExample) -> PerExample:
    """The inverse of B: the root of a quadratic, in the form that does not cancel for small B."""
    slope = (sde.beta_max - sde.beta_min) / sde.T
    return 2 * B / (sde.beta_min + jnp.sqrt(sde.beta_min**2 + 2 * slope * B))
