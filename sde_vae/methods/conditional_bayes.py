"""Conditional scores by Bayes' rule: grad_x log p(x_t | y) = grad_x log p(x_t) + grad_x log p(y | x_t).

The first term is an unconditional prior's. The second is of an encoder of y that is trained here, with ScoreVAE's own code and y in the
place of z; or, for linear operators, of a Gaussian around A E[x_0 | x_t], which needs no training.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of, sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.losses import denoising, seen
from sde_vae.diffusion.scores import bayes, denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method, required
from sde_vae.methods.observation import LinearOperator, Observe, Operator
from sde_vae.methods.posteriors import Posterior
from sde_vae.methods.prior import precondition
from sde_vae.methods.score_vae import by_bayes
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Condition, Frozen, Keys, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Variance(t) -> the variance of x_0 given x_t that a Gaussian likelihood assumes, the same for all pixels: [batch]
Variance = Callable[[PerExample], PerExample]


def image_posterior(sde: SDE, operator: Operator, network: Network, log_var_bound: float = 8.0) -> Posterior:
    """Return q(y | x_t) of a network that maps x_t [batch, H, W, C] to [batch, H, W, 2 k]: mean and log-variance of y's k channels."""

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        del frozen
        output = operator.down(precondition(sde, network, params, x, t, keys))
        mean, raw = jnp.split(output, 2, axis=-1)
        return DiagGaussian(mean, log_var_bound * jnp.tanh(raw / log_var_bound))

    clean = lambda params, x, keys=None: noisy(params, {}, x, jnp.zeros(x.shape[:1], x.dtype), keys)
    return Posterior(network.init, clean, noisy)


def log_prob_of_seen(q: DiagGaussian, condition: Condition) -> PerExample:
    """Return log q(y) in nats, without the pixels that the mask hides: [batch]."""
    density = jnp.square(condition.y - q.mean) * jnp.exp(-q.log_var) + q.log_var + math.log(2 * math.pi)
    return -0.5 * sum_per_example(seen(density, condition))


def trained_likelihood(
    sde: SDE,
    prior: Method,
    posterior: Posterior,
    observe: Observe,
    times: TimeSampler,
    weight: Weight,
    guidance: float = 1.0,
) -> Method:
    """Return the method that trains q(y | x_t) on a frozen prior, by the denoising loss of the score that Bayes' rule makes of both.

    It is ScoreVAE (arXiv:2304.12141) with the observation y in the place of z, so that nothing is drawn and there is no KL. `frozen` has
    the stage "prior".
    """
    conditional = by_bayes(prior, posterior, log_prob_of_seen)

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        frozen = jax.lax.stop_gradient(frozen)
        key_y, key_noisy, key = jax.random.split(key, 3)
        x, condition = observe(batch.x, keys_of(key_y, batch.index))
        score = conditional(params, frozen, condition, 1.0, keys_of(key_noisy, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch._replace(x=x)))
        return total, {"loss": total}

    def score(params: Params, frozen: Frozen, condition: Condition) -> ScoreFn:
        return conditional(params, frozen, condition, guidance, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return required(prior.unconditional, "unconditional")(frozen["prior"], {})

    return Method(posterior.init, loss, score=score, unconditional=unconditional)


def no_variance(t: PerExample) -> PerExample:
    """Return 0: DPS takes E[x_0 | x_t] for x_0 itself (arXiv:2209.14687, eq. 11)."""
    return jnp.zeros_like(t)


def variance_of_gaussian(sde: SDE, variance: float = 1.0) -> Variance:
    """Return Var(x_0 | x_t) for data N(m, variance I), which PiGDM assumes (Song et al. 2023, Pseudoinverse-guided diffusion models)."""

    def of_time(t: PerExample) -> PerExample:
        alpha2, sigma2 = jnp.square(sde.alpha(t)), jnp.square(sde.sigma(t))
        return variance * sigma2 / (variance * alpha2 + sigma2)

    return of_time


def linear_likelihood(
    sde: SDE, prior: ScoreFn, operator: LinearOperator, condition: Condition, variance: Variance, std: float
) -> Callable[[Points, PerExample], PerExample]:
    """Return log N(y; A E[x_0 | x_t], variance(t) A A' + std^2 I), less its normaliser, which does not depend on x: a LogLikelihoodFn.

    With `no_variance` it is DPS's, with `variance_of_gaussian` PiGDM's. The gradient flows through the prior.
    """

    def log_likelihood(x: Points, t: PerExample) -> PerExample:
        x_0 = denoised_of_noise(sde, noise_of_score(sde, prior(x, t), t), x, t)
        residual = condition.y - operator.forward(x_0, condition.mask)
        solved = operator.solve(residual, variance(t), jnp.full_like(t, std**2))
        return -0.5 * sum_per_example(residual * solved)

    return log_likelihood


def guided_prior(
    sde: SDE, prior: Method, operator: LinearOperator, variance: Variance, std: float, guidance: float = 1.0
) -> Method:
    """Return the prior with a score of x given y, by `linear_likelihood`. Nothing but the prior is trained, and `params` are its own."""
    unconditional = required(prior.unconditional, "unconditional")

    def score(params: Params, frozen: Frozen, condition: Condition) -> ScoreFn:
        of_prior = unconditional(params, frozen)
        return bayes(of_prior, linear_likelihood(sde, of_prior, operator, condition, variance, std), guidance)

    return prior._replace(score=score)
