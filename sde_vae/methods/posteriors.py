"""What an encoder looks at: the variants of q(z | x_t, t), behind one interface."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

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
