"""What a network predicts, what a solver needs, and Bayes' rule between scores.

With x_t = alpha x_0 + sigma eps, these are one and the same knowledge (Tweedie's formula gives the middle one):

    score     s       = grad_x log p_t(x)
    noise     eps_hat = -sigma s                       = E[eps | x_t]
    denoised  x0_hat  = (x + sigma^2 s) / alpha        = E[x_0 | x_t]
    velocity  v       = (alpha eps_hat - sigma x0_hat) / sqrt(alpha^2 + sigma^2)

velocity is Salimans & Ho's v (arXiv:2202.00512) in units in which alpha^2 + sigma^2 = 1, so that it serves every SDE. The
noise and the score are converted without loss; the denoised image is ill-conditioned where alpha is small.
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.sdes import SDE
from sde_vae.types import LogLikelihoodFn, PerExample, Points, ScoreFn


def score_of_noise(sde: SDE, eps_hat: Points, t: PerExample) -> Points:
    return -eps_hat / expand(sde.sigma(t), eps_hat)


def noise_of_score(sde: SDE, score: Points, t: PerExample) -> Points:
    return -expand(sde.sigma(t), score) * score


def denoised_of_noise(sde: SDE, eps_hat: Points, x: Points, t: PerExample) -> Points:
    return (x - expand(sde.sigma(t), x) * eps_hat) / expand(sde.alpha(t), x)


def noise_of_denoised(sde: SDE, x0_hat: Points, x: Points, t: PerExample) -> Points:
    return (x - expand(sde.alpha(t), x) * x0_hat) / expand(sde.sigma(t), x)


def noise_of_velocity(sde: SDE, v: Points, x: Points, t: PerExample) -> Points:
    """eps_hat = sin x + cos v, with (cos, sin) = (alpha, sigma) / sqrt(alpha^2 + sigma^2) and x scaled likewise."""
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    r = jnp.sqrt(jnp.square(alpha) + jnp.square(sigma))
    return (sigma * x / r + alpha * v) / r


def velocity_of_noise(sde: SDE, eps_hat: Points, x: Points, t: PerExample) -> Points:
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    r = jnp.sqrt(jnp.square(alpha) + jnp.square(sigma))
    return (r * eps_hat - sigma * x / r) / alpha


def bayes(prior: ScoreFn, log_likelihood: LogLikelihoodFn, guidance: float = 1.0) -> ScoreFn:
    """grad_x log p_t(x | z) = grad_x log p_t(x) + guidance grad_x log p(z | x_t = x).

    ScoreVAE (arXiv:2304.12141, eq. 11): the prior's score is the pre-trained one and the likelihood is the encoder's. In noise
    units the gradient is *subtracted*: eps_hat = eps_theta - guidance sigma grad_x log q.
    """

    def score(x: Points, t: PerExample) -> Points:
        # Examples are independent, so the gradient of the sum is the batch of gradients.
        gradient = jax.grad(lambda x: jnp.sum(log_likelihood(x, t)))(x)
        return prior(x, t) + guidance * gradient

    return score


def point_mass_score(sde: SDE, x_0: Points) -> ScoreFn:
    """The score of data that are the one point x_0 of each example: E[x_0 | x_t] is x_0, whatever x_t is."""

    def score(x: Points, t: PerExample) -> Points:
        return score_of_noise(sde, noise_of_denoised(sde, x_0, x, t), t)

    return score


def switch_at_log_snr(sde: SDE, log_snr: float, below: ScoreFn, above: ScoreFn) -> ScoreFn:
    """One score where logSNR is under `log_snr`, another elsewhere.

    Solvers give all examples the same t: then only one of the two is evaluated.
    """

    def score(x: Points, t: PerExample) -> Points:
        is_below = sde.log_snr(t) < log_snr
        mixed = lambda x, t: jnp.where(expand(is_below, x), below(x, t), above(x, t))
        which = jnp.any(is_below).astype(jnp.int32) + jnp.all(is_below)
        return jax.lax.switch(which, (above, mixed, below), x, t)

    return score
