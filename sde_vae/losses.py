"""Denoising losses, per example.

Every loss of the field is one integral over noise levels l = log_snr (Kingma & Gao 2023, arXiv:2303.00848):

    L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl

w = 1 is the likelihood weight: 1/2 g^2 ||s - grad log p(x_t|x_0)||^2 integrated over t is exactly that, and only it makes a
bound. A *weight* is a plain function of l and decides what is learnt; a *time sampler* decides where the integral is looked
at, returns with each time the factor dl / dp that keeps the estimate unbiased, and decides only its variance.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of, normal, sum_per_example
from sde_vae.scores import noise_of_score
from sde_vae.sdes import SDE, diffuse, log_snr_range, log_snr_rate
from sde_vae.types import Batch, Indices, PerExample, PRNGKey, ScoreFn

Weight = Callable[[PerExample], PerExample]
# TimeSampler(key, index) -> (t, dl/dp): a time per example, and the length of logSNR that one draw stands for.
TimeSampler = Callable[[PRNGKey, Indices], tuple[PerExample, PerExample]]


def likelihood() -> Weight:
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


def stratified(key: PRNGKey, index: Indices, strata: int) -> PerExample:
    """Low-discrepancy uniforms (VDM, arXiv:2107.00630, appendix I.1): one shared draw, shifted by index / strata.

    Each is uniform on [0, 1); `strata` of them in a row fall one into each of the `strata` equal cells.
    """
    return jnp.mod(jax.random.uniform(key) + (index % strata) / strata, 1.0)


def uniform_t(sde: SDE, strata: int) -> TimeSampler:
    """Times uniform in [t_min, T]."""

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_min + (sde.T - sde.t_min) * stratified(key, index, strata)
        return t, (sde.T - sde.t_min) * log_snr_rate(sde, t)

    return sample


def uniform_log_snr(sde: SDE, strata: int) -> TimeSampler:
    """Times uniform in logSNR: under the likelihood weight, the estimate with no variance from the weighting."""
    low, high = log_snr_range(sde)

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_of_log_snr(low + (high - low) * stratified(key, index, strata))
        # Rounding may step over the ends by an ulp.
        return jnp.clip(t, sde.t_min, sde.T), jnp.full_like(t, high - low)

    return sample


def denoising(sde: SDE, score: ScoreFn, times: TimeSampler, weight: Weight, key: PRNGKey, batch: Batch) -> PerExample:
    """An unbiased one-sample estimate of L_w in nats, per example: shape [batch]."""
    key_t, key_eps = jax.random.split(key)
    t, dl_dp = times(key_t, batch.index)
    eps = normal(keys_of(key_eps, batch.index), batch.x)
    eps_hat = noise_of_score(sde, score(diffuse(sde, batch.x, t, eps), t), t)
    return 0.5 * weight(sde.log_snr(t)) * dl_dp * sum_per_example(jnp.square(eps_hat - eps))
