"""What an encoder looks at, and what it says of z: the variants of q(z | x_t, t), behind one interface."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.methods.method import Method
from sde_vae.methods.prior import network_log_snr, precondition
from sde_vae.nets.network import Network
from sde_vae.types import Frozen, Keys, Latents, Params, PerExample, Points, PRNGKey


class Posterior(NamedTuple):
    """init(key) -> params
    clean(params, x_0, keys=None) -> q(z | x_0)
    noisy(params, frozen, x_t, t, keys=None) -> q(lift(z) | x_t)
    lift(params, z, t) -> z, or what else of it `noisy` is a density of: see `lifted`

    `keys`, one per example, switch the encoder's dropout on.
    """

    init: Callable[[PRNGKey], Params]
    clean: Callable[..., DiagGaussian]
    noisy: Callable[..., DiagGaussian]
    lift: Callable[[Params, Latents, PerExample], Points] = lambda params, z, t: z


def noisy_input(sde: SDE, encoder: Network) -> Posterior:
    """The encoder sees x_t and is told t (arXiv:2304.12141)."""

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        del frozen
        return precondition(sde, encoder, params, x, t, keys)

    return Posterior(encoder.init, lambda params, x, keys=None: _clean(sde, encoder, params, x, keys), noisy)


def filtered_input(sde: SDE, encoder: Network) -> Posterior:
    """The encoder sees the linear estimate of x_0, x_t alpha / (alpha^2 + sigma^2) (Wiener's filter for data of unit variance).

    The gradient of log q(z | x_t) in x_t must vanish as alpha at high noise, where it is alpha (E[x_0 | x_t, z] - E[x_0 | x_t]); seen so
    it does of itself. One more channel of ones keeps norms from undoing the scale; `encoder` takes that channel too.
    """

    def seen(params: Params, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        scale = sde.alpha(t) / (jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
        inputs = jnp.concatenate([expand(scale, x) * x, jnp.ones_like(x[..., :1])], axis=-1)
        return encoder.apply(params, inputs, network_log_snr(sde, t), keys)

    return Posterior(
        encoder.init,
        lambda params, x, keys=None: seen(params, x, jnp.zeros(x.shape[:1], x.dtype), keys),
        lambda params, frozen, x, t, keys=None: seen(params, x, t, keys),
    )


def denoised_input(sde: SDE, encoder: Network, prior: Method) -> Posterior:
    """The encoder sees only clean images: the prior's E[x_0 | x_t] (Tweedie), through which its gradient in x_t flows."""

    def noisy(params: Params, frozen: Frozen, x: Points, t: PerExample, keys: Keys | None = None) -> DiagGaussian:
        eps_hat = noise_of_score(sde, prior.unconditional(frozen["prior"], {})(x, t), t)
        return _clean(sde, encoder, params, denoised_of_noise(sde, eps_hat, x, t), keys)

    return Posterior(encoder.init, lambda params, x, keys=None: _clean(sde, encoder, params, x, keys), noisy)


def lifted(sde: SDE, posterior: Posterior, latent: int, statistics: Network) -> Posterior:
    """log q(z | x_t) as that of z and of K learnt statistics T(z, t), taken for independent Gaussians: an exponential family whose
    statistics are learnt, and no part of arXiv:2304.12141.

    A diagonal Gaussian's gradient in x_t is a quadratic in z without products, and so is then the decoder where x_t is noise. Lifted,
    it is at each x_t a sum of 2 (latent + K) images, each times an entry of z or T or its square.

    It is not normalised as a density of z. The bound holds for any score and does not mind, but the mean of the gradient over
    z ~ p(z | x_t) need no longer be 0, as that of a density's is: it may mend the prior's own errors too.

    `posterior` has latent + K dimensions; without noise only the first `latent` count.
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
    """A deterministic encoder: the mean alone, as a Gaussian of standard deviation exp(log_var / 2), so that densities stay finite."""

    def point(q: DiagGaussian) -> DiagGaussian:
        return DiagGaussian(q.mean, jnp.full_like(q.mean, log_var))

    return posterior._replace(
        clean=lambda params, x, keys=None: point(posterior.clean(params, x, keys)),
        noisy=lambda params, frozen, x, t, keys=None: point(posterior.noisy(params, frozen, x, t, keys)),
    )


def _clean(sde: SDE, encoder: Network, params: Params, x: Points, keys: Keys | None) -> DiagGaussian:
    return precondition(sde, encoder, params, x, jnp.zeros(x.shape[:1], x.dtype), keys)
