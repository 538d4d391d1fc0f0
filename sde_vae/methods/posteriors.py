"""Variants of the posterior q(z | x_t, t): the encoder's input, and the density of z that it gives."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.methods.method import Method, required
from sde_vae.methods.prior import network_log_snr, precondition
from sde_vae.nets.network import Network
from sde_vae.types import Frozen, Keys, Latents, Params, PerExample, Points, PRNGKey


class Posterior(NamedTuple):
    """The pure functions of one posterior.

    init(key) -> params
    clean(params, x_0, keys=None) -> q(z | x_0)
    noisy(params, frozen, x_t, t, keys=None) -> q(lift(z) | x_t)
    lift(params, z, t) -> the variable of the density `noisy`: z itself, or z with statistics of it (see `lifted`)

    With `keys`, one per example, the encoder's dropout is on.
    """

    init: Callable[[PRNGKey], Params]
    clean: Callable[..., DiagGaussian]
    noisy: Callable[..., DiagGaussian]
    lift: Callable[[Params, Latents, PerExample], Points] = lambda params, z, t: z


def noisy_input(sde: SDE, encoder: Network) -> Posterior:
    """Return the posterior of an encoder of x_t and t (arXiv:2304.12141)."""

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        del frozen
        return precondition(sde, encoder, params, x, t, keys)

    return Posterior(encoder.init, lambda params, x, keys=None: _clean(sde, encoder, params, x, keys), noisy)


def filtered_input(sde: SDE, encoder: Network) -> Posterior:
    """Return the posterior of an encoder of the linear estimate of x_0, x_t alpha / (alpha^2 + sigma^2).

    This is the Wiener filter for data of unit variance. At high noise the gradient of log q(z | x_t) in x_t is
    alpha (E[x_0 | x_t, z] - E[x_0 | x_t]) and must vanish as alpha. With this input it does so by construction. `encoder` takes
    a further channel of ones, without which its norms would undo the scale.
    """

    def filtered(params: Params, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        scale = sde.alpha(t) / (jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
        inputs = jnp.concatenate([expand(scale, x) * x, jnp.ones_like(x[..., :1])], axis=-1)
        return encoder.apply(params, inputs, network_log_snr(sde, t), keys)

    return Posterior(
        encoder.init,
        lambda params, x, keys=None: filtered(params, x, jnp.zeros(x.shape[:1], x.dtype), keys),
        lambda params, frozen, x, t, keys=None: filtered(params, x, t, keys),
    )


def denoised_input(sde: SDE, encoder: Network, prior: Method) -> Posterior:
    """Return the posterior of an encoder of the prior's E[x_0 | x_t] (Tweedie's formula).

    The encoder then takes denoised images only. Its gradient in x_t flows through the prior.
    """
    prior_score = required(prior.unconditional, "unconditional")

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        eps_hat = noise_of_score(sde, prior_score(frozen["prior"], {})(x, t), t)
        return _clean(sde, encoder, params, denoised_of_noise(sde, eps_hat, x, t), keys)

    return Posterior(encoder.init, lambda params, x, keys=None: _clean(sde, encoder, params, x, keys), noisy)


def lifted(sde: SDE, posterior: Posterior, latent: int, statistics: Network) -> Posterior:
    """Return a lifted posterior: log q(z | x_t) is the log-density of z and K learnt statistics T(z, t), as independent Gaussians.

    It is an exponential family with learnt statistics, and no part of arXiv:2304.12141. The gradient of a diagonal Gaussian in
    x_t is quadratic in z, without products of two dimensions. Where x_t is noise, the decoder has the same form. With lifting,
    the gradient at each x_t is a sum of 2 (latent + K) images, each times an entry of z or T or its square.

    The lifted density is not normalised over z. The bound holds for any score and is not affected. But the mean of the gradient
    over z ~ q(z | x_t) need not be 0, as it is for a density, so that the gradient may also correct errors of the prior.

    `posterior` has latent + K dimensions. `clean` returns the first `latent` of them.
    """

    def init(key: PRNGKey) -> Params:
        key_encoder, key_statistics = jax.random.split(key)
        return {"encoder": posterior.init(key_encoder), "statistics": statistics.init(key_statistics)}

    def clean(params: Params, x: Points, keys: Keys | None = None) -> DiagGaussian:
        q = posterior.clean(params["encoder"], x, keys)
        return DiagGaussian(q.mean[:, :latent], q.log_var[:, :latent])

    def lift(params: Params, z: Latents, t: PerExample) -> Points:
        return jnp.concatenate([z, statistics.apply(params["statistics"], z, network_log_snr(sde, t))], axis=1)

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        return posterior.noisy(params["encoder"], frozen, x, t, keys)

    return Posterior(init, clean, noisy, lift)


def point_posterior(posterior: Posterior, log_var: float = -16.0) -> Posterior:
    """Return a deterministic posterior: the mean of `posterior`, with standard deviation exp(log_var / 2).

    The standard deviation is small but not 0, so that densities are finite.
    """

    def point(q: DiagGaussian) -> DiagGaussian:
        return DiagGaussian(q.mean, jnp.full_like(q.mean, log_var))

    return posterior._replace(
        clean=lambda params, x, keys=None: point(posterior.clean(params, x, keys)),
        noisy=lambda params, frozen, x, t, keys=None: point(posterior.noisy(params, frozen, x, t, keys)),
    )


def _clean(sde: SDE, encoder: Network, params: Params, x: Points, keys: Keys | None) -> DiagGaussian:
    return precondition(sde, encoder, params, x, jnp.zeros(x.shape[:1], x.dtype), keys)
