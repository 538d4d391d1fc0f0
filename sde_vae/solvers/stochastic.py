"""Solvers of the reverse SDE with noise and one evaluation of the score at every step, from T to t_min only."""

import math

import jax.numpy as jnp

from sde_vae.arrays import expand, normal
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.transitions import forward, posterior
from sde_vae.solvers.step import Step, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def euler_maruyama(sde: SDE, score: ScoreFn) -> Step:
    """Return the Euler-Maruyama step of the reverse SDE dx = (f x - g^2 s) dt + g dw (arXiv:2011.13456, eq. 6).

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_t
    >>> from sde_vae.solvers.step import integrate
    >>> keys = keys_of(jax.random.key(0), jnp.arange(3))
    >>> integrate(euler_maruyama(VP(), lambda x, t: -x), keys, jnp.zeros((3, 2)), uniform_t(VP(), 10)).shape
    (3, 2)
    """

    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        dt = t_next - t
        f, g = expand(sde.f(t), x), expand(sde.g(t), x)
        noise = expand(jnp.sqrt(-dt), x) * normal(keys, x)
        return x + (f * x - jnp.square(g) * score(x, t)) * expand(dt, x) + g * noise

    return one_step(move)


def reverse_diffusion(sde: SDE, score: ScoreFn) -> Step:
    """Return the step of the reverse-diffusion sampler, which reverses the forward kernel (arXiv:2011.13456, eq. 46).

    x' = (2 - a) x + b^2 s + b xi, where x_t | x_{t'} ~ N(a x_{t'}, b^2 I) and t' is t_next.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_t
    >>> from sde_vae.solvers.step import integrate
    >>> keys = keys_of(jax.random.key(0), jnp.arange(3))
    >>> integrate(reverse_diffusion(VP(), lambda x, t: -x), keys, jnp.zeros((3, 2)), uniform_t(VP(), 10)).shape
    (3, 2)
    """

    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        a, b = forward(sde, t_next, t)
        return expand(2 - a, x) * x + expand(jnp.square(b), x) * score(x, t) + expand(b, x) * normal(keys, x)

    return one_step(move)


def ancestral(sde: SDE, score: ScoreFn) -> Step:
    """Return the step of DDPM's ancestral sampling: a draw from q(x_s | x_t, x_0) at x_0 = x0_hat (arXiv:2006.11239, eq. 7).

    Its variance is DDPM's lower choice beta-tilde, which is also that of the bound L_T. `reverse_diffusion` has the upper
    choice, beta.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_t
    >>> from sde_vae.solvers.step import integrate
    >>> keys = keys_of(jax.random.key(0), jnp.arange(3))
    >>> integrate(ancestral(VP(), lambda x, t: -x), keys, jnp.zeros((3, 2)), uniform_t(VP(), 10)).shape
    (3, 2)
    """

    return _ancestral(sde, score, math.inf)


def clipped_ancestral(sde: SDE, score: ScoreFn) -> Step:
    """Return the step of `ancestral` with x0_hat clipped to [-1, 1], where the data are: the sampler of DDPM's released code.

    An image that is outside of the data's range at one step would else be carried to the next.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.scores import point_mass_score
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.step import integrate
    >>> step = clipped_ancestral(VP(), point_mass_score(VP(), jnp.array([[7.0]])))
    >>> integrate(step, keys_of(jax.random.key(0), jnp.arange(1)), jnp.zeros((1, 1)), jnp.array([1.0, 0.0])).round(2)
    Array([[1.]], dtype=float32)
    """
    return _ancestral(sde, score, 1.0)


def _ancestral(sde: SDE, score: ScoreFn, limit: float) -> Step:
    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        x0_hat = denoised_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)
        mean, std = posterior(sde, x, jnp.clip(x0_hat, -limit, limit), t, t_next)
        return mean + expand(std, x) * normal(keys, x)

    return one_step(move)
