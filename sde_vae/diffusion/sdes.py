"""Forward SDEs dx = f(t) x dt + g(t) dw, in closed form.

Each SDE is a frozen dataclass. It is determined by its perturbation kernel x_t | x_0 ~ N(alpha(t) x_0, sigma(t)^2 I) (Song et
al. 2021, arXiv:2011.13456; Kingma et al. 2021, arXiv:2107.00630):

    log_snr(t) = log(alpha^2 / sigma^2)       strictly decreasing in t
    f(t)       = d log alpha / dt
    g(t)^2     = d sigma^2 / dt - 2 f sigma^2 = -sigma^2 d log_snr / dt

Times and results have shape [batch]. Training and sampling run over [t_min, T]. At t_min the noise is small against the data,
and the closed forms are still accurate in float32.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import expand
from sde_vae.types import PerExample, Points


class SDE(abc.ABC):
    """The interface of a forward SDE. Subclasses are final and give closed forms."""

    t_min: float
    T: float

    @abc.abstractmethod
    def alpha(self, t: PerExample) -> PerExample:
        """Return the scale of x_0 in x_t."""

    @abc.abstractmethod
    def sigma(self, t: PerExample) -> PerExample:
        """Return the standard deviation of the noise in x_t."""

    @abc.abstractmethod
    def f(self, t: PerExample) -> PerExample:
        """Return the drift coefficient: the drift is f(t) x."""

    @abc.abstractmethod
    def g(self, t: PerExample) -> PerExample:
        """Return the diffusion coefficient."""

    @abc.abstractmethod
    def log_snr(self, t: PerExample) -> PerExample:
        """Return logSNR = log(alpha^2 / sigma^2)."""

    @abc.abstractmethod
    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        """Return the time at which logSNR has this value: the inverse of `log_snr`."""


@dataclasses.dataclass(frozen=True)
class VP(SDE):
    """Variance-preserving SDE with linear beta (arXiv:2011.13456, eq. 11): alpha = exp(-B / 2), B(t) = int_0^t beta.

    >>> VP().alpha(jnp.array([0.0, 0.5, 1.0])).tolist()
    [1.000, 0.281, 0.007]
    """

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
    """Sub-VP SDE (arXiv:2011.13456, eq. 13): alpha is VP's, and sigma = 1 - exp(-B) is the square of VP's.

    >>> SubVP().sigma(jnp.array([0.5])).round(3)
    Array([0.921], dtype=float32)
    """

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
    """Variance-preserving SDE with alpha = cos(theta), sigma = sin(theta) and theta linear in t.

    This is Nichol & Dhariwal's cosine schedule (arXiv:2102.09672). Both ends of its logSNR are given instead of clipped, as in
    simple diffusion (arXiv:2301.11093): theta(0) and theta(T) are the angles of log_snr_max and log_snr_min.

    >>> CosineVP(log_snr_min=-10.0, log_snr_max=20.0).log_snr(jnp.array([1.0])).round(3)
    Array([-10.], dtype=float32)
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
    """Variance-exploding SDE (arXiv:2011.13456, eq. 9): alpha = 1, and sigma is geometric from sigma_min to sigma_max.

    >>> VE(sigma_min=0.01, sigma_max=100.0).sigma(jnp.array([0.0, 0.5, 1.0])).tolist()
    [0.01, 1.00, 100.00]
    """

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


# Beyond this logSNR, -2 log(2^-24), the noise is below the rounding of the data in float32; below its negative, the data that of the noise.
LOG_SNR_LIMIT = 33.27
# The most that logSNR may change between neighbouring times of float32 at T. Beyond it, steps of a fine grid fall on one time.
LOG_SNR_ROUNDING = 0.01


def fault_of(sde: SDE, points: int = 257) -> str:
    """Return what is wrong with an SDE in float32, or "": its logSNR must be finite, within +-LOG_SNR_LIMIT, and fall from t_min to T.

    It is checked at `points` times; so are g, which must be above 0 and finite, and alpha. Neighbouring times at T must have nearly the
    same logSNR.

    >>> fault_of(VP()), fault_of(VE(sigma_min=2.0, sigma_max=1.0))
    ('', 'the closed forms have no value (math domain error)')
    """
    if not 0 < sde.t_min < sde.T:
        return f"t_min is not between 0 and T = {sde.T:g}"
    with jax.ensure_compile_time_eval():
        t = jnp.linspace(sde.t_min, sde.T, points, dtype=jnp.float32)
        try:
            log_snr, g, alpha = (np.asarray(of(t), np.float64) for of in (sde.log_snr, sde.g, sde.alpha))
        # Constants of a closed form: the logarithm or the root of a number below 0.
        except ValueError as error:
            return f"the closed forms have no value ({str(error)[:80]})"
    for name, values in {"g": g, "alpha": alpha}.items():
        if not np.all(np.isfinite(values) & (values > 0)):
            return f"{name} is not a finite number above 0"
    if not np.all(np.abs(log_snr) <= LOG_SNR_LIMIT):
        return f"logSNR goes from {log_snr[0]:.4g} to {log_snr[-1]:.4g}, beyond {LOG_SNR_LIMIT}, the limit of float32"
    if not np.all(np.diff(log_snr) < 0):
        return "logSNR does not fall from t_min to T"
    # -dl/dt = g^2 / sigma^2, and sigma^2 = alpha^2 e^-l.
    apart = np.square(g[-1] / alpha[-1]) * np.exp(log_snr[-1]) * np.spacing(np.float32(sde.T))
    if apart > LOG_SNR_ROUNDING:
        return f"logSNR goes to {log_snr[-1]:.4g}, where the times of float32 are {apart:.1g} apart in logSNR"
    return ""


def log_snr_rate(sde: SDE, t: PerExample) -> PerExample:
    """Return -d logSNR / dt = g^2 / sigma^2 > 0, the Jacobian between dt and d logSNR: [batch].

    >>> log_snr_rate(VP(), jnp.array([1.0])).round(2)
    Array([20.00], dtype=float32)
    """
    return jnp.square(sde.g(t) / sde.sigma(t))


def log_snr_range(sde: SDE) -> tuple[float, float]:
    """Return (log_snr(T), log_snr(t_min)), the lowest and the highest logSNR of training and sampling.

    >>> log_snr_range(VP())
    (-10.05, 9.12)
    """
    # Constants of the SDE, evaluated outside any trace: they are plain floats.
    with jax.ensure_compile_time_eval():
        low, high = sde.log_snr(jnp.asarray([sde.T, sde.t_min]))
        return float(low), float(high)


def diffuse(sde: SDE, x_0: Points, t: PerExample, eps: Points) -> Points:
    """Return x_t = alpha x_0 + sigma eps.

    >>> diffuse(VE(sigma_min=0.5), jnp.array([[1.0]]), jnp.array([0.0]), jnp.array([[2.0]]))
    Array([[2.]], dtype=float32)
    """
    return expand(sde.alpha(t), x_0) * x_0 + expand(sde.sigma(t), eps) * eps


def terminal(sde: SDE, eps: Points) -> Points:
    """Return x_T = sigma(T) eps ~ pi = N(0, sigma(T)^2 I), given standard normal eps.

    The rule is the same for all SDEs: sigma(T) is 1 for VP, and sigma_max for VE.

    >>> terminal(VE(sigma_max=50.0), jnp.array([[1.0, -2.0]])).round(2)
    Array([[  50., -100.]], dtype=float32)
    """
    T = jnp.full(eps.shape[:1], sde.T, eps.dtype)
    return expand(sde.sigma(T), eps) * eps


def _linear_beta(sde: VP | SubVP, t: PerExample) -> PerExample:
    return sde.beta_min + t * (sde.beta_max - sde.beta_min) / sde.T


def _linear_B(sde: VP | SubVP, t: PerExample) -> PerExample:
    """Return B(t) = int_0^t beta(s) ds."""
    return t * (sde.beta_min + 0.5 * t * (sde.beta_max - sde.beta_min) / sde.T)


def _linear_t(sde: VP | SubVP, B: PerExample) -> PerExample:
    """Return the time at which B(t) has this value: the root of a quadratic, in the form without cancellation at small B."""
    slope = (sde.beta_max - sde.beta_min) / sde.T
    return 2 * B / (sde.beta_min + jnp.sqrt(sde.beta_min**2 + 2 * slope * B))
