"""Conversions between score, noise, denoised image, velocity and flow; and Bayes' rule for scores.

With x_t = alpha x_0 + sigma eps, each of these five determines the others (Tweedie's formula gives the denoised image):

    score     s       = grad_x log p_t(x)
    noise     eps_hat = -sigma s                       = E[eps | x_t]
    denoised  x0_hat  = (x + sigma^2 s) / alpha        = E[x_0 | x_t]
    velocity  v       = (alpha eps_hat - sigma x0_hat) / sqrt(alpha^2 + sigma^2)
    flow      u       = eps_hat - x0_hat               = E[eps - x_0 | x_t]

The velocity is Salimans & Ho's v (arXiv:2202.00512), scaled so that alpha^2 + sigma^2 = 1 and that it applies to every SDE. The
flow is the target of flow matching (arXiv:2210.02747): under RectifiedFlow it is dx / dt of the probability-flow ODE.
Noise and score are converted without loss of digits, and the noise is made of the velocity or the flow so. The denoised image is
ill-conditioned where alpha is small; so are the velocity and the flow that are made of a noise.

Shapes: x, the score, the noise, the denoised image, the velocity and the flow are [batch, ...]; t is [batch].
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.sdes import SDE
from sde_vae.types import LogLikelihoodFn, PerExample, Points, ScoreFn


def score_of_noise(sde: SDE, eps_hat: Points, t: PerExample) -> Points:
    """Return the score -eps_hat / sigma.

    >>> from sde_vae.diffusion.sdes import VE
    >>> score_of_noise(VE(sigma_min=0.5), jnp.array([[1.0, -2.0]]), jnp.array([0.0]))
    Array([[-2.,  4.]], dtype=float32)
    """
    return -eps_hat / expand(sde.sigma(t), eps_hat)


def noise_of_score(sde: SDE, score: Points, t: PerExample) -> Points:
    """Return the noise eps_hat = -sigma s.

    >>> from sde_vae.diffusion.sdes import VE
    >>> noise_of_score(VE(sigma_min=0.5), jnp.array([[-2.0, 4.0]]), jnp.array([0.0]))
    Array([[ 1., -2.]], dtype=float32)
    """
    return -expand(sde.sigma(t), score) * score


def denoised_of_noise(sde: SDE, eps_hat: Points, x: Points, t: PerExample) -> Points:
    """Return the denoised image E[x_0 | x_t] = (x - sigma eps_hat) / alpha.

    >>> from sde_vae.diffusion.sdes import VE
    >>> denoised_of_noise(VE(sigma_min=0.5), jnp.array([[2.0]]), jnp.array([[3.0]]), jnp.array([0.0]))
    Array([[2.]], dtype=float32)
    """
    return (x - expand(sde.sigma(t), x) * eps_hat) / expand(sde.alpha(t), x)


def noise_of_denoised(sde: SDE, x0_hat: Points, x: Points, t: PerExample) -> Points:
    """Return the noise eps_hat = (x - alpha x0_hat) / sigma.

    >>> from sde_vae.diffusion.sdes import VE
    >>> noise_of_denoised(VE(sigma_min=0.5), jnp.array([[2.0]]), jnp.array([[3.0]]), jnp.array([0.0]))
    Array([[2.]], dtype=float32)
    """
    return (x - expand(sde.alpha(t), x) * x0_hat) / expand(sde.sigma(t), x)


def noise_of_velocity(sde: SDE, v: Points, x: Points, t: PerExample) -> Points:
    """Return the noise eps_hat = sin x / r + cos v, with r = sqrt(alpha^2 + sigma^2) and (cos, sin) = (alpha, sigma) / r.

    >>> from sde_vae.diffusion.sdes import VP
    >>> v, x, t = jnp.array([[0.5]]), jnp.array([[3.0]]), jnp.array([0.4])
    >>> velocity_of_noise(VP(), noise_of_velocity(VP(), v, x, t), x, t).round(3)
    Array([[0.5]], dtype=float32)
    """
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    r = jnp.sqrt(jnp.square(alpha) + jnp.square(sigma))
    return (sigma * x / r + alpha * v) / r


def velocity_of_noise(sde: SDE, eps_hat: Points, x: Points, t: PerExample) -> Points:
    """Return the velocity v = (r eps_hat - sigma x / r) / alpha, with r = sqrt(alpha^2 + sigma^2).

    >>> from sde_vae.diffusion.sdes import VE
    >>> velocity_of_noise(VE(sigma_min=0.75), jnp.array([[1.0]]), jnp.array([[0.0]]), jnp.array([0.0]))
    Array([[1.25]], dtype=float32)
    """
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    r = jnp.sqrt(jnp.square(alpha) + jnp.square(sigma))
    return (r * eps_hat - sigma * x / r) / alpha


def noise_of_flow(sde: SDE, u: Points, x: Points, t: PerExample) -> Points:
    """Return the noise eps_hat = (x + alpha u) / (alpha + sigma). No term cancels another, and alpha + sigma is never small.

    >>> from sde_vae.diffusion.rectified_flow import RectifiedFlow
    >>> noise_of_flow(RectifiedFlow(), jnp.array([[2.0]]), jnp.array([[1.0]]), jnp.array([0.25]))
    Array([[2.5]], dtype=float32)
    """
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    return (x + alpha * u) / (alpha + sigma)


def flow_of_noise(sde: SDE, eps_hat: Points, x: Points, t: PerExample) -> Points:
    """Return the flow u = ((alpha + sigma) eps_hat - x) / alpha.

    >>> from sde_vae.diffusion.rectified_flow import RectifiedFlow
    >>> flow_of_noise(RectifiedFlow(), jnp.array([[2.5]]), jnp.array([[1.0]]), jnp.array([0.25]))
    Array([[2.]], dtype=float32)
    """
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    return ((alpha + sigma) * eps_hat - x) / alpha


def bayes(prior: ScoreFn, log_likelihood: LogLikelihoodFn, guidance: float = 1.0) -> ScoreFn:
    """Return the conditional score grad_x log p_t(x | z) = grad_x log p_t(x) + guidance grad_x log p(z | x_t = x).

    In ScoreVAE (arXiv:2304.12141, eq. 11) the prior is the pre-trained model, and the likelihood is the encoder's density. In
    noise units the gradient is *subtracted*: eps_hat = eps_theta - guidance sigma grad_x log q.

    >>> prior = lambda x, t: -x
    >>> log_likelihood = lambda x, t: -0.5 * jnp.sum((x - 2.0) ** 2, axis=-1)
    >>> bayes(prior, log_likelihood)(jnp.array([[1.0, 0.0]]), jnp.array([0.5]))
    Array([[0., 2.]], dtype=float32)
    """

    def score(x: Points, t: PerExample) -> Points:
        # Examples are independent, so the gradient of the sum is the batch of gradients.
        gradient = jax.grad(lambda x: jnp.sum(log_likelihood(x, t)))(x)
        return prior(x, t) + guidance * gradient

    return score


def classifier_free(conditional: ScoreFn, unconditional: ScoreFn, guidance: float | PerExample) -> ScoreFn:
    """Return the guided score s(x, t) + guidance (s(x, t, c) - s(x, t)), which evaluates both (arXiv:2207.12598).

    It is the score of p_t(x) p_t(c | x)^guidance: Bayes' rule, with the classifier that the two scores imply. 1 gives the conditional
    score, 0 the unconditional one. The paper's weight w is guidance - 1. `guidance` is one number, or one for each example.

    >>> guided = classifier_free(lambda x, t: 3.0 - x, lambda x, t: -x, 2.0)
    >>> guided(jnp.array([[1.0, 0.0]]), jnp.array([0.5]))
    Array([[5., 6.]], dtype=float32)
    """

    def score(x: Points, t: PerExample) -> Points:
        plain = unconditional(x, t)
        scale = guidance if isinstance(guidance, float | int) else expand(guidance, x)
        return plain + scale * (conditional(x, t) - plain)

    return score


def point_mass_score(sde: SDE, x_0: Points) -> ScoreFn:
    """Return the score of data that consist of one point, x_0 of each example: E[x_0 | x_t] = x_0 for every x_t.

    >>> from sde_vae.diffusion.sdes import VE
    >>> point_mass_score(VE(sigma_min=0.5), jnp.array([[1.0]]))(jnp.array([[2.0]]), jnp.array([0.0]))
    Array([[-4.]], dtype=float32)
    """

    def score(x: Points, t: PerExample) -> Points:
        return score_of_noise(sde, noise_of_denoised(sde, x_0, x, t), t)

    return score


def switch_at_log_snr(sde: SDE, log_snr: float, below: ScoreFn, above: ScoreFn) -> ScoreFn:
    """Return a score that is `below` where logSNR < `log_snr`, and `above` elsewhere.

    Solvers give all examples the same t. Then only one of the two scores is evaluated.

    >>> from sde_vae.diffusion.sdes import VP
    >>> score = switch_at_log_snr(VP(), 0.0, below=lambda x, t: -x, above=lambda x, t: x)
    >>> score(jnp.ones((2, 1)), jnp.array([0.01, 0.9]))
    Array([[ 1.],
           [-1.]], dtype=float32)
    """

    def score(x: Points, t: PerExample) -> Points:
        is_below = sde.log_snr(t) < log_snr
        mixed = lambda x, t: jnp.where(expand(is_below, x), below(x, t), above(x, t))
        which = jnp.any(is_below).astype(jnp.int32) + jnp.all(is_below)
        return jax.lax.switch(which, (above, mixed, below), x, t)

    return score
