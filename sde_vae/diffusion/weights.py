"""Weights w(l) of the denoising loss: plain functions of l = logSNR, which decide what is learnt.

Every denoising loss of the field is L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl for one such weight (Kingma & Gao 2023,
arXiv:2303.00848). All of them map logSNR [batch] to weights [batch].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE, log_snr_rate
from sde_vae.types import PerExample

Weight = Callable[[PerExample], PerExample]


def likelihood_weighting() -> Weight:
    """w = 1: the evidence bound."""
    return jnp.ones_like


def simple(sde: SDE) -> Weight:
    """DDPM's L_simple (arXiv:2006.11239, eq. 14): the noise error averaged over uniform t. w = -dt/dl."""

    def weight(log_snr: PerExample) -> PerExample:
        return 1 / log_snr_rate(sde, sde.t_of_log_snr(log_snr))

    return weight


def simple_velocity(sde: SDE) -> Weight:
    """L_simple on the error of the velocity: in errors of E[x_0 | x_t] it is snr + 1, its name in arXiv:2202.00512.

    As `simple` at low noise; at high noise, where that falls as e^l in errors of E[x_0 | x_t], it keeps teaching it.
    """
    return on_velocity(simple(sde))


def simple_beta(sde: SDE, a: float = 4.0) -> Weight:
    """L_simple with t / T drawn from Beta(a, 1) instead of uniformly: w = simple a (t / T)^(a - 1). It dwells on high noise.

    A weight and not a time sampler, because it changes what is learnt: under `uniform_log_snr` it has less variance than drawing so.
    """
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * a * (sde.t_of_log_snr(log_snr) / sde.T) ** (a - 1)

    return weight


def p2(sde: SDE, k: float = 1.0, gamma: float = 1.0) -> Weight:
    """Perception-prioritised (arXiv:2204.00227, eq. 8): simple / (k + snr)^gamma, which dwells on high noise."""
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        # (k + e^l)^-gamma through logaddexp: e^l alone overflows float32 in squares at low noise.
        return base(log_snr) * jnp.exp(-gamma * jnp.logaddexp(jnp.log(k), log_snr))

    return weight


def min_snr(sde: SDE, gamma: float = 5.0) -> Weight:
    """Min-SNR-gamma (arXiv:2303.09556, section 3.4), in noise units: simple * min(1, gamma / snr)."""
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * jnp.minimum(1.0, gamma * jnp.exp(-log_snr))

    return weight


def sigmoid(bias: float = 0.0) -> Weight:
    """sigmoid(bias - l) (arXiv:2303.00848, 2410.19324): the likelihood weight at high noise, fading where snr > e^bias.

    It falls with l, and so is itself a bound's weight, on data with noise added; it does not spend itself on pixels whose
    last digits no latent knows.
    """

    def weight(log_snr: PerExample) -> PerExample:
        return jax.nn.sigmoid(bias - log_snr)

    return weight


def velocity(bias: float = 0.0) -> Weight:
    """The sigmoid weight on the error of the velocity: sigmoid(bias - l) (1 + e^-l).

    In errors of E[x_0 | x_t] that is sigmoid(bias - l) (1 + e^l), nearly flat at high noise, where bounded weights on the noise fall as
    e^l: it teaches what a latent can say there.
    """
    return on_velocity(sigmoid(bias))


def on_velocity(base: Weight) -> Weight:
    """`base` on the error of the velocity instead of the noise's: base (1 + e^-l)."""

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * (1 + jnp.exp(-log_snr))

    return weight
