"""Weights w(l) of the denoising loss: functions of l = logSNR, which determine what is learnt.

Every denoising loss of the field is L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl with one such weight (Kingma & Gao 2023,
arXiv:2303.00848). A weight maps logSNR [batch] to values [batch].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE, log_snr_rate
from sde_vae.types import PerExample

Weight = Callable[[PerExample], PerExample]


def likelihood_weighting() -> Weight:
    """Return w = 1, the weight of the evidence bound.

    >>> likelihood_weighting()(jnp.array([-5.0, 5.0]))
    Array([1., 1.], dtype=float32)
    """
    return jnp.ones_like


def simple(sde: SDE) -> Weight:
    """Return w = -dt / dl, the weight of DDPM's L_simple: the noise error averaged over uniform t (arXiv:2006.11239, eq. 14).

    >>> from sde_vae.diffusion.sdes import VE
    >>> simple(VE(sigma_min=1.0, sigma_max=np.e))(jnp.array([0.0])).round(3)
    Array([0.5], dtype=float32)
    """

    def weight(log_snr: PerExample) -> PerExample:
        return 1 / log_snr_rate(sde, sde.t_of_log_snr(log_snr))

    return weight


def simple_velocity(sde: SDE) -> Weight:
    """Return the weight of L_simple on the velocity: `simple` (1 + e^-l).

    On the error of E[x_0 | x_t] this is the weight snr + 1 of arXiv:2202.00512. At low noise it equals `simple`. At high noise,
    `simple` falls as e^l on that error, and this weight does not.

    >>> from sde_vae.diffusion.sdes import VE
    >>> simple_velocity(VE(sigma_min=1.0, sigma_max=np.e))(jnp.array([0.0])).round(3)
    Array([1.], dtype=float32)
    """
    return on_velocity(simple(sde))


def simple_beta(sde: SDE, a: float = 4.0) -> Weight:
    """Return w = simple a (t / T)^(a - 1): L_simple with t / T from Beta(a, 1) instead of uniform, which favours high noise.

    It is a weight and not a time sampler because it changes what is learnt. With times uniform in logSNR the estimate has less
    variance than with times from that distribution.

    >>> from sde_vae.diffusion.sdes import VP
    >>> log_snr = VP().log_snr(jnp.array([1.0]))
    >>> (simple_beta(VP(), a=4.0)(log_snr) / simple(VP())(log_snr)).round(3)
    Array([4.], dtype=float32)
    """
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * a * (sde.t_of_log_snr(log_snr) / sde.T) ** (a - 1)

    return weight


def p2(sde: SDE, k: float = 1.0, gamma: float = 1.0) -> Weight:
    """Return the perception-prioritised weight simple / (k + snr)^gamma, which favours high noise (arXiv:2204.00227, eq. 8).

    >>> from sde_vae.diffusion.sdes import VP
    >>> log_snr = jnp.array([0.0])
    >>> (p2(VP())(log_snr) / simple(VP())(log_snr)).round(3)
    Array([0.5], dtype=float32)
    """
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        # (k + e^l)^-gamma by logaddexp: the square of e^l overflows float32 at low noise.
        return base(log_snr) * jnp.exp(-gamma * jnp.logaddexp(jnp.log(k), log_snr))

    return weight


def min_snr(sde: SDE, gamma: float = 5.0) -> Weight:
    """Return the min-SNR-gamma weight in noise units, simple min(1, gamma / snr) (arXiv:2303.09556, section 3.4).

    >>> from sde_vae.diffusion.sdes import VP
    >>> log_snr = jnp.log(jnp.array([1.0, 10.0]))
    >>> (min_snr(VP())(log_snr) / simple(VP())(log_snr)).tolist()
    [1.00, 0.50]
    """
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * jnp.minimum(1.0, gamma * jnp.exp(-log_snr))

    return weight


def pdae(sde: SDE, gamma: float = 0.1) -> Weight:
    """Return PDAE's weight, simple snr^gamma / (1 + snr) (arXiv:2212.12990).

    There, the loss is the mean over uniform steps of lambda_t || eps_hat - eps ||^2 with
    lambda_t = (1 / (1 + snr))^(1 - gamma) (snr / (1 + snr))^gamma. In the limit of many steps this is `simple` times lambda_t,
    which is largest at snr = gamma / (1 - gamma) and falls to 0 at both ends.

    >>> from sde_vae.diffusion.sdes import VP
    >>> log_snr = jnp.array([0.0])
    >>> (pdae(VP())(log_snr) / simple(VP())(log_snr)).round(3)
    Array([0.5], dtype=float32)
    """
    base = simple(sde)

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * jnp.exp(gamma * log_snr - jax.nn.softplus(log_snr))

    return weight


def sigmoid(bias: float = 0.0) -> Weight:
    """Return w = sigmoid(bias - l): the likelihood weight at high noise, which fades where snr > e^bias.

    The weight falls with l. A loss with such a weight is itself a bound, on data with added noise (arXiv:2303.00848,
    2410.19324). It puts no weight on the last digits of the pixels, which no latent predicts.

    >>> sigmoid(bias=2.0)(jnp.array([-20.0, 2.0, 20.0])).tolist()
    [1.00, 0.50, 0.00]
    """

    def weight(log_snr: PerExample) -> PerExample:
        return jax.nn.sigmoid(bias - log_snr)

    return weight


def velocity(bias: float = 0.0) -> Weight:
    """Return w = sigmoid(bias - l) (1 + e^-l): the sigmoid weight on the error of the velocity.

    On the error of E[x_0 | x_t] this is sigmoid(bias - l) (1 + e^l), which is nearly constant at high noise. Bounded weights on
    the noise fall there as e^l, and the model then does not learn what z determines at high noise.

    >>> velocity(bias=0.0)(jnp.array([0.0]))
    Array([1.], dtype=float32)
    """
    return on_velocity(sigmoid(bias))


def on_velocity(base: Weight) -> Weight:
    """Return base (1 + e^-l): the weight `base` on the error of the velocity instead of the noise.

    >>> on_velocity(likelihood_weighting())(jnp.array([0.0]))
    Array([2.], dtype=float32)
    """

    def weight(log_snr: PerExample) -> PerExample:
        return base(log_snr) * (1 + jnp.exp(-log_snr))

    return weight


def flow() -> Weight:
    """Return w = e^{-l / 2} / 2, the weight of flow matching (arXiv:2303.00848, table 1).

    The loss 1/2 E ||u_hat - u||^2 of rectified flow, u = eps - x_0 and t uniform on [0, 1], is the denoising loss with this weight:
    u_hat - u = (1 + sigma / alpha) (eps_hat - eps) = (eps_hat - eps) / (1 - t), and -dt / dl = t (1 - t) / 2. Under any other SDE the
    weight learns the same.

    >>> flow()(jnp.array([0.0, -2 * np.log(4.0)]))
    Array([0.5, 2. ], dtype=float32)
    """

    def weight(log_snr: PerExample) -> PerExample:
        return 0.5 * jnp.exp(-0.5 * log_snr)

    return weight


def flow_logit_normal(mean: float = 0.0, std: float = 1.0) -> Weight:
    """Return the weight of flow matching with logit(t) ~ N(mean, std^2) instead of t uniform, as Stable Diffusion 3 (arXiv:2403.03206).

    It is `flow` times the density of t, where logit(t) = -l / 2. As for `simple_beta`, this is a weight and not a time sampler.

    >>> (flow_logit_normal()(jnp.array([0.0])) / flow()(jnp.array([0.0]))).round(3)
    Array([1.596], dtype=float32)
    """
    base = flow()

    def weight(log_snr: PerExample) -> PerExample:
        density = jax.scipy.stats.norm.pdf(-0.5 * log_snr, mean, std)
        return base(log_snr) * density / (jax.nn.sigmoid(log_snr / 2) * jax.nn.sigmoid(-log_snr / 2))

    return weight
