"""Gaussian transitions between two noise levels s < t (VDM, arXiv:2107.00630, appendix A).

q(x_t | x_s)      = N(a x_s, b^2 I),      a = alpha_t / alpha_s,     b^2 = sigma_t^2 - a^2 sigma_s^2
q(x_s | x_t, x_0) = N(mu, sigma_Q^2 I),   sigma_Q = sigma_s b / sigma_t
"""

import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.sdes import SDE
from sde_vae.types import PerExample, Points


def forward(sde: SDE, s: PerExample, t: PerExample) -> tuple[PerExample, PerExample]:
    """Return (a, b) of q(x_t | x_s) = N(a x_s, b^2 I), each [batch].

    >>> from sde_vae.diffusion.sdes import VP
    >>> a, b = forward(VP(), jnp.array([0.2]), jnp.array([0.4]))
    >>> (a**2 + b**2).round(3)
    Array([1.], dtype=float32)
    """
    return sde.alpha(t) / sde.alpha(s), sde.sigma(t) * _fraction(sde, t, s)


def posterior_std(sde: SDE, t: PerExample, s: PerExample) -> PerExample:
    """Return the standard deviation sigma_Q of q(x_s | x_t, x_0): [batch].

    >>> from sde_vae.diffusion.sdes import VP
    >>> posterior_std(VP(), jnp.array([1.0]), jnp.array([0.4])).round(2)
    Array([0.8], dtype=float32)
    """
    return sde.sigma(s) * _fraction(sde, t, s)


def posterior(sde: SDE, x_t: Points, x_0: Points, t: PerExample, s: PerExample) -> tuple[Points, PerExample]:
    """Return (mu, sigma_Q) of q(x_s | x_t, x_0), with shapes [batch, ...] and [batch].

    mu = alpha_s x_0 + (sigma_s / sigma_t) e^{(l_t - l_s) / 2} (x_t - alpha_t x_0).

    >>> from sde_vae.diffusion.sdes import VP
    >>> t, s = jnp.array([0.4]), jnp.array([0.2])
    >>> x_0 = jnp.array([[1.0]])
    >>> mean, std = posterior(VP(), VP().alpha(t)[:, None] * x_0, x_0, t, s)
    >>> (mean / VP().alpha(s)[:, None]).round(3)
    Array([[1.]], dtype=float32)
    """
    shrink = jnp.exp(0.5 * (sde.log_snr(t) - sde.log_snr(s))) * sde.sigma(s) / sde.sigma(t)
    mean = expand(sde.alpha(s), x_0) * x_0 + expand(shrink, x_t) * (x_t - expand(sde.alpha(t), x_0) * x_0)
    return mean, posterior_std(sde, t, s)


def _fraction(sde: SDE, t: PerExample, s: PerExample) -> PerExample:
    """Return b / sigma_t = sqrt(1 - e^{l_t - l_s}), the part of the noise at t that was added after s."""
    return jnp.sqrt(-jnp.expm1(sde.log_snr(t) - sde.log_snr(s)))
