"""Solvers of the reverse SDE and of the probability-flow ODE: one step type, one `integrate`.

Step(keys, x, t, t_next) -> x at t_next. A step takes any ScoreFn (the prior's, Bayes', a guided one) and any direction of
time that its formula allows; noise is drawn from one key per example, so that a reconstruction does not depend on which
other examples share its batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import expand, fold, normal
from sde_vae.scores import denoised_of_noise, noise_of_score
from sde_vae.sdes import SDE, log_snr_range
from sde_vae.types import Keys, PerExample, Points, ScoreFn

Step = Callable[[Keys, Points, PerExample, PerExample], Points]
Solver = Callable[[SDE, ScoreFn], Step]
Grid = Float[Array, "steps_plus_1"]


def euler_maruyama(sde: SDE, score: ScoreFn) -> Step:
    """The reverse SDE dx = (f x - g^2 s) dt + g dw (arXiv:2011.13456, eq. 6), backwards only."""

    def step(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        dt = t_next - t
        f, g = expand(sde.f(t), x), expand(sde.g(t), x)
        noise = expand(jnp.sqrt(-dt), x) * normal(keys, x)
        return x + (f * x - jnp.square(g) * score(x, t)) * expand(dt, x) + g * noise

    return step


def ddim(sde: SDE, score: ScoreFn) -> Step:
    """Deterministic DDIM (arXiv:2010.02502, eq. 12 with eta = 0): exact if x0_hat and eps_hat did not change on the way."""

    def step(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
        del keys
        eps_hat = noise_of_score(sde, score(x, t), t)
        x0_hat = denoised_of_noise(sde, eps_hat, x, t)
        return expand(sde.alpha(t_next), x) * x0_hat + expand(sde.sigma(t_next), x) * eps_hat

    return step


def uniform_t_grid(sde: SDE, steps: int) -> Grid:
    """T = t_0 > ... > t_steps = t_min, equal in t."""
    return jnp.linspace(sde.T, sde.t_min, steps + 1)


def uniform_log_snr_grid(sde: SDE, steps: int) -> Grid:
    """T = t_0 > ... > t_steps = t_min, equal in logSNR."""
    low, high = log_snr_range(sde)
    grid = sde.t_of_log_snr(jnp.linspace(low, high, steps + 1))
    return grid.at[0].set(sde.T).at[-1].set(sde.t_min)


def integrate(step: Step, keys: Keys, x: Points, times: Grid) -> Points:
    """x at times[-1], from x at times[0]. Downwards in t it decodes; upwards (an ODE's step) it inverts."""

    def body(x: Points, interval: tuple[Array, Array, Array]) -> tuple[Points, None]:
        i, t, t_next = interval
        full = jnp.ones(x.shape[:1], times.dtype)
        return step(fold(keys, i), x, t * full, t_next * full), None

    x, _ = jax.lax.scan(body, x, (jnp.arange(times.shape[0] - 1), times[:-1], times[1:]))
    return x


def denoise(sde: SDE, score: ScoreFn, x: Points, t: float) -> Points:
    """E[x_0 | x_t = x] by Tweedie: the last move, which takes off the noise that is left at t_min."""
    times = jnp.full(x.shape[:1], t, x.dtype)
    return denoised_of_noise(sde, noise_of_score(sde, score(x, times), times), x, times)
