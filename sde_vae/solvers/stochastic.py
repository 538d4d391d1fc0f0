"""Solvers of the reverse SDE that draw noise at every step, one evaluation of the score each; backwards only."""

import jax.numpy as jnp

from sde_vae.arrays import expand, normal
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.transitions import forward, posterior
from sde_vae.solvers.step import Step, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def euler_maruyama(sde: SDE, score: ScoreFn) -> Step:
    """The reverse SDE dx = (f x - g^2 s) dt + g dw (arXiv:2011.13456, eq. 6)."""

    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        dt = t_next - t
        f, g = expand(sde.f(t), x), expand(sde.g(t), x)
        noise = expand(jnp.sqrt(-dt), x) * normal(keys, x)
        return x + (f * x - jnp.square(g) * score(x, t)) * expand(dt, x) + g * noise

    return one_step(move)


def reverse_diffusion(sde: SDE, score: ScoreFn) -> Step:
    """The reverse-diffusion sampler (arXiv:2011.13456, eq. 46): the forward kernel from t_next to t, reversed as it stands.

    x' = (2 - a) x + b^2 s + b xi, where x_t | x_{t'} ~ N(a x_{t'}, b^2 I).
    """

    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        a, b = forward(sde, t_next, t)
        return expand(2 - a, x) * x + expand(jnp.square(b), x) * score(x, t) + expand(b, x) * normal(keys, x)

    return one_step(move)


def ancestral(sde: SDE, score: ScoreFn) -> Step:
    """DDPM's ancestral sampling (arXiv:2006.11239, eq. 7): a draw from q(x_s | x_t, x_0) at x_0 = x0_hat.

    Its variance is DDPM's lower choice, beta-tilde, that of the bound L_T; `reverse_diffusion` has the upper, beta.
    """

    def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        x0_hat = denoised_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)
        mean, std = posterior(sde, x, x0_hat, t, t_next)
        return mean + expand(std, x) * normal(keys, x)

    return one_step(move)
