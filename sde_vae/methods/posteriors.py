"""What an encoder looks at: the variants of q(z | x_t, t), behind one interface."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.methods.prior import condition
from sde_vae.nets.network import Network
from sde_vae.scores import denoised_of_noise, noise_of_score
from sde_vae.sdes import SDE
from sde_vae.types import Params, PerExample, Points, PRNGKey


class Posterior(NamedTuple):
    """init(key) -> params
    clean(params, x_0) -> q(z | x_0)
    noisy(params, frozen, x_t, t) -> q(z | x_t)     frozen: the prior's parameters
    """

    init: Callable[[PRNGKey], Params]
    clean: Callable[[Params, Points], DiagGaussian]
    noisy: Callable[[Params, Params, Points, PerExample], DiagGaussian]


def of_noisy(sde: SDE, encoder: Network) -> Posterior:
    """The encoder sees x_t and is told t (arXiv:2304.12141)."""

    def noisy(params: Params, frozen: Params, x: Points, t: PerExample) -> DiagGaussian:
        del frozen
        return condition(sde, encoder, params, x, t)

    return Posterior(encoder.init, lambda params, x: _clean(sde, encoder, params, x), noisy)


def of_filtered(sde: SDE, encoder: Network) -> Posterior:
    """The encoder sees the linear estimate of x_0, x_t alpha / (alpha^2 + sigma^2) (Wiener's filter for data of unit variance).

    The gradient of log q(z | x_t) in x_t must vanish as alpha at high noise, where it is alpha (E[x_0 | x_t, z] - E[x_0 | x_t]); seen so
    it does of itself. One more channel of ones keeps norms from undoing the scale; `encoder` takes that channel too.
    """

    def seen(params: Params, x: Points, t: PerExample) -> DiagGaussian:
        scale = sde.alpha(t) / (jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
        inputs = jnp.concatenate([expand(scale, x) * x, jnp.ones_like(x[..., :1])], axis=-1)
        return encoder.apply(params, inputs, sde.log_snr(jnp.maximum(t, sde.t_min)))

    return Posterior(
        encoder.init,
        lambda params, x: seen(params, x, jnp.zeros(x.shape[:1], x.dtype)),
        lambda params, frozen, x, t: seen(params, x, t),
    )


def of_denoised(sde: SDE, encoder: Network, prior: Method) -> Posterior:
    """The encoder sees only clean images: the prior's E[x_0 | x_t] (Tweedie), through which its gradient in x_t flows."""

    def noisy(params: Params, frozen: Params, x: Points, t: PerExample) -> DiagGaussian:
        eps_hat = noise_of_score(sde, prior.score(frozen, None, None)(x, t), t)
        return _clean(sde, encoder, params, denoised_of_noise(sde, eps_hat, x, t))

    return Posterior(encoder.init, lambda params, x: _clean(sde, encoder, params, x), noisy)


def narrow(posterior: Posterior, log_var: float = -16.0) -> Posterior:
    """A deterministic encoder: the mean alone, as a Gaussian of standard deviation exp(log_var / 2), so that densities stay finite."""

    def point(q: DiagGaussian) -> DiagGaussian:
        return DiagGaussian(q.mean, jnp.full_like(q.mean, log_var))

    return Posterior(
        posterior.init,
        lambda params, x: point(posterior.clean(params, x)),
        lambda params, frozen, x, t: point(posterior.noisy(params, frozen, x, t)),
    )


def _clean(sde: SDE, encoder: Network, params: Params, x: Points) -> DiagGaussian:
    return condition(sde, encoder, params, x, jnp.zeros(x.shape[:1], x.dtype))
